"""Figures of an encoder without labels, on a fixed sample of photos: did it leave its start?"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, Integer, UInt8
from torch import Tensor, nn

from detcon.data.colour import apply_colour, draw_colour
from detcon.data.cut import Cut
from detcon.data.dataset import MasksOfPhotos, PhotoViews
from detcon.data.recipe import COLOUR_PRESETS, ViewsRecipe
from detcon.downstream.recipe import LabelFreeRecipe
from detcon.models.encoders import build_encoder, feature_grid
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.ops.label_free import lidar, nearest_neighbours, rankme, shared_neighbours
from detcon.ops.regions import pool_regions
from detcon.photos import Photos, UnreadablePhoto, shrink
from detcon.progress import ProgressBar

AGREEMENT, RANKME, LIDAR = "start_agreement", "rankme", "lidar"

_REGIONS = 16  # of a photo or view, at most
_BATCH = 32  # views that pass the encoder at once
_SOON = 5.0  # seconds after which it is told what a training waits for


@dataclass(frozen=True)
class _View:
    """A photo, or a view of it: its number, pixels, change of colours, and regions, each once."""

    photo: int
    image: UInt8[np.ndarray, "c s s"]
    colour: Float32[np.ndarray, " p"]
    ids: Int64[np.ndarray, " r"]
    weights: Float32[np.ndarray, "r h w"]


class LabelFreeFigures:
    """Measures an encoder on the same regions of the same photos each time.

    The copy takes memory, but keeps evaluation mode and 32 bits away from the network that is being
    trained. Views are cut anew each time: in memory they would take more than the network.
    """

    def __init__(
        self,
        recipe: LabelFreeRecipe,
        encoder: EncoderRecipe,
        *,
        start: nn.Module,
        photos: Photos,
        masks: MasksOfPhotos | None,
        views: ViewsRecipe,
        normalisation: Normalisation,
        seed: int,
        max_side: int | None = None,
    ) -> None:
        """Takes a copy of the start; reads no photo yet.

        Args:
            recipe: How many photos, views and neighbours.
            encoder: The architecture of the encoders to measure.
            start: The encoder whose neighbours later ones are compared with.
            photos: Of which a sample is drawn.
            masks: Of the photos. None takes cells of the encoder's grid as regions of a photo, and
                a whole view as the only region of it.
            views: How the augmented views are cut and coloured.
            normalisation: Of the photos' colours.
            seed: Of the sample, the regions and the views.
            max_side: Photos are shrunk to this first.

        Raises:
            MasksDoNotFit: Photos have no masks.
        """
        self._recipe, self._seed, self._max_side = recipe, seed, max_side
        self._settings = views.model_copy(update={"second": "own", "absent": False})
        self._photos, self._masks, self._normalisation = photos, masks, normalisation
        with torch.random.fork_rng(devices=[]):
            self._encoder = build_encoder(encoder, run_own=True).eval().requires_grad_(False)
        self._encoder.load_state_dict(start.state_dict())
        self._grid = feature_grid(self._encoder, views.size)
        self._views = PhotoViews(
            photos, masks, self._settings, num_regions=_REGIONS, grid=self._grid, seed=seed,
            max_side=max_side, pass_over=True,
        )  # fmt: skip
        chosen = np.random.default_rng([seed, 1]).permutation(len(self._views))
        self._chosen: list[int] = chosen[: recipe.photos].tolist()
        self._neighbours: Integer[Tensor, "m k"] | None = None

    def measure(self, encoder: nn.Module) -> dict[str, float]:
        """The figures of an encoder, on its device, in 32 bits and evaluation mode.

        Returns:
            `start_agreement`, the share of the regions' nearest neighbours that are those of the
            start (1 at the start), `rankme` and `lidar`. One that isn't finite is left out, and all
            are where fewer than two photos of the sample have regions.
        """
        first, num = self._neighbours is None, len(self._chosen)
        self._encoder.to(next(encoder.parameters()).device)
        with ProgressBar(
            "figures without labels:", num * (1 + first + self._recipe.views), words="views",
            transient=True, soon=_SOON,
        ) as bar:  # fmt: skip
            return self._figures(encoder, bar)

    def _figures(self, encoder: nn.Module, bar: ProgressBar) -> dict[str, float]:
        """As `measure`; the copy of the encoder goes back to the CPU."""
        try:
            if self._neighbours is None:
                regions, photos, _ = self._rows(self._whole_photos(), bar)
                if len(photos.unique()) < 2:
                    return {}
                self._neighbours = self._nearest(regions, photos)
            self._encoder.load_state_dict(encoder.state_dict())
            regions, photos, _ = self._rows(self._whole_photos(), bar)
            agreement = shared_neighbours(self._nearest(regions, photos), self._neighbours)
            figures = {AGREEMENT: agreement, RANKME: rankme(regions)}
            rows, classes = _seen_twice(*self._rows(self._augmented(), bar))
            if len(classes):
                figures[LIDAR] = lidar(rows, classes)
        finally:
            self._encoder.cpu()
        return {name: value for name, value in figures.items() if np.isfinite(value)}

    def _nearest(
        self, regions: Float[Tensor, "m d"], photos: Integer[Tensor, " m"]
    ) -> Integer[Tensor, "m k"]:
        return nearest_neighbours(regions, photos, num=self._recipe.neighbours)

    @torch.no_grad()
    def _rows(
        self, views: Iterable[_View], bar: ProgressBar
    ) -> tuple[Float[Tensor, "m d"], Integer[Tensor, " m"], Integer[Tensor, " m"]]:
        """Features of all regions, with the number of the photo and of the mask of each."""
        device = next(self._encoder.parameters()).device
        mean, std = self._normalisation.mean, self._normalisation.std
        rows: list[Tensor] = []
        photos: list[int] = []
        ids: list[int] = []
        waiting = iter(views)
        while some := list(itertools.islice(waiting, _BATCH)):
            images = torch.from_numpy(np.stack([view.image for view in some])).to(device)
            colour = torch.from_numpy(np.stack([view.colour for view in some]))
            features = self._encoder(apply_colour(images, colour, mean=mean, std=std))
            for view, grid in zip(some, features.float().cpu(), strict=True):
                rows.append(pool_regions(grid[None], torch.from_numpy(view.weights)[None])[0])
                photos += [view.photo] * len(view.ids)
                ids += view.ids.tolist()
            bar.advance(len(some))
        numbers = torch.tensor([photos, ids], dtype=torch.int64)
        return torch.cat(rows), numbers[0], numbers[1]

    def _whole_photos(self) -> Iterator[_View]:
        """Whole photos, brought to a view's square, unchanged otherwise."""
        settings, size = self._settings, self._settings.size
        for number in self._chosen:
            key = self._views.keys[number]
            try:
                photo = shrink(self._photos.read(key), self._max_side)
            except UnreadablePhoto:
                continue
            rng = np.random.default_rng([self._seed, 2, number])
            cut = Cut(0, 0, *photo.shape[:2], flip=False)
            if self._masks is None:
                ids, weights = _some_cells(rng, self._grid)
            else:
                ids, weights = _each_once(
                    *cut.weights(
                        self._masks[key], photo.shape[:2], size, self._grid, rng=rng,
                        num_regions=_REGIONS, **settings.drawing,
                    )
                )  # fmt: skip
            image = np.ascontiguousarray(cut.image(photo, size, settings.resize).transpose(2, 0, 1))
            colour = draw_colour(rng, COLOUR_PRESETS["none"][0])
            yield _View(number, image, colour, ids, weights)

    def _augmented(self) -> Iterator[_View]:
        """Views of the photos as training has them; another photo for one that can't be read."""
        for number in self._chosen:
            for epoch in range(-(-self._recipe.views // 2)):
                one = self._views[epoch, number]
                for view in range(2):
                    regions = _each_once(one.ids[view], one.weights[view])
                    yield _View(one.index, one.images[view], one.colour[view], *regions)


def _each_once(
    ids: Int64[np.ndarray, " r"], weights: Float32[np.ndarray, "r h w"]
) -> tuple[Int64[np.ndarray, " u"], Float32[np.ndarray, "u h w"]]:
    """Each mask that was drawn, once."""
    found, places = np.unique(ids, return_index=True)
    return found[found >= 0], weights[places[found >= 0]]


def _some_cells(
    rng: np.random.Generator, grid: tuple[int, int]
) -> tuple[Int64[np.ndarray, " r"], Float32[np.ndarray, "r h w"]]:
    """Cells of the grid as regions."""
    cells = rng.permutation(grid[0] * grid[1])[:_REGIONS].astype(np.int64)
    weights = np.zeros((len(cells), *grid), np.float32)
    weights.reshape(len(cells), -1)[np.arange(len(cells)), cells] = 1
    return cells, weights


def _seen_twice(
    rows: Float[Tensor, "m d"], photos: Integer[Tensor, " m"], ids: Integer[Tensor, " m"]
) -> tuple[Float[Tensor, "n d"], Integer[Tensor, " n"]]:
    """The regions that at least two views show, each a class of its own."""
    pairs = torch.stack([photos, ids], 1)
    _, classes, counts = pairs.unique(dim=0, return_inverse=True, return_counts=True)
    kept = (counts > 1)[classes]
    return rows[kept], classes[kept].unique(return_inverse=True)[1]
