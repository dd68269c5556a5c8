"""Depth prediction as a transfer task: metres to what each pixel shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import cv2
import numpy as np
from jaxtyping import Float32

from detcon.data.labelled.examples import Example, Examples, LabelError, LabelledData, watched
from detcon.downstream.pictures import write_png
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.downstream.task import Drawing, Names, Photo, PhotosOfSizes, Score
from detcon.downstream.tasks.depth.data import check_measured, cut_depth, depth_split, say_range
from detcon.downstream.tasks.depth.network import DepthNetwork, depth_head
from detcon.downstream.tasks.depth.recipe import DepthRecipe
from detcon.downstream.tasks.depth.scoring import score
from detcon.downstream.tasks.segmentation.data import resize_nearest
from detcon.downstream.training import fine_tune
from detcon.formats.registry import find_format, formats_with, open_depth
from detcon.models.backbone_file import Backbone
from detcon.notes import note
from detcon.palette import depth_colours
from detcon.train.environment import is_first_rank

_FARTHEST = 65.535  # metres

Metres = Float32[np.ndarray, "y x"]
"""The depth of each pixel."""


@dataclass(frozen=True)
class Depth:
    """Predicts how far away everything is.

    Laina et al. (arXiv 1606.00373) as BYOL (arXiv 2006.07733, appendix D.6) uses it. One departure:
    a whole photo is predicted and scored, while the code released with Laina et al. predicts its
    centre crop and stretches that to the whole depth map. BYOL's order of the changes of colour
    isn't known: brightness, saturation and hue come in a random order here, grey comes last.
    """

    recipe: DepthRecipe
    objects: ClassVar[None] = None

    def open(self, settings: TaskSettings, channels: int) -> LabelledData:
        unit = self.recipe.unit
        if unit is not None and not find_format(settings.format).takes_unit:
            raise LabelError(
                f"task.unit is for format={formats_with(lambda one: one.takes_unit)}; "
                f"format={settings.format} knows its unit: leave it out"
            )
        options: dict[str, Any] = {"holdout": settings.holdout}
        options |= {} if unit is None else {"unit": unit}
        splits = []
        for name in ("train", "val"):
            maps = open_depth(settings.data, settings.format, name, **options)
            if name == "train" and is_first_rank():
                say_range(maps)
            title, whole = f"{name} of {settings.data}", name == "val"
            splits.append(depth_split(maps, title, settings.size, whole=whole, channels=channels))
        return LabelledData(*splits)

    def check(self, train: Examples, val: Examples, names: Names) -> None:
        check_measured(train, "training")
        check_measured(val, "validation")

    def build(self, settings: TransferRecipe, backbone: Backbone, names: Names) -> DepthNetwork:
        encoder: Any = backbone.encoder
        head = depth_head(backbone.channels, encoder.pyramid_strides[-1], self.recipe)
        return DepthNetwork(backbone.encoder, head, backbone.normalisation, self.recipe.loss)

    def learn(
        self, settings: TransferRecipe, network: DepthNetwork, train: Examples, folder: Path
    ) -> None:
        own = {"colour": self.recipe.colour, "place": self.recipe.place}
        fine_tune(settings, self.recipe, network, train, folder, cut=cut_depth, **own)

    def score(
        self, settings: TransferRecipe, network: DepthNetwork, val: Examples, names: Names
    ) -> Score:
        def predict(example: Example) -> Metres:
            return _depths(network, [example.image], example.labels.shape)[0]

        return score(predict, watched(val, "scoring"))

    def predict(
        self, network: DepthNetwork, photos: PhotosOfSizes
    ) -> list[Float32[np.ndarray, "_ _"]]:
        return _depths(network, photos)

    def truth(self, example: Example) -> Metres:
        return resize_nearest(example.labels, example.image.shape[:2])

    def draw(self, photo: Photo, prediction: Metres, names: Names) -> Drawing:
        return depth_colours(prediction)

    def enlarge(self, prediction: Metres, size: tuple[int, int]) -> Float32[np.ndarray, "Y X"]:
        return np.asarray(cv2.resize(prediction, size[::-1], interpolation=cv2.INTER_LINEAR))

    def save(self, prediction: Metres, key: str, folder: Path, names: Names) -> None:
        """Thousandths of a metre in `depth/KEY.png`, of 16 bits; 65.535 m is the farthest."""
        path = folder / "depth" / PurePosixPath(key).with_suffix(".png")
        if prediction.max() > _FARTHEST:
            note(f"depth above {_FARTHEST} m is written as {_FARTHEST} m, the most of 16 bits")
        write_png(path, np.clip(np.round(prediction * 1000), 0, 65535).astype(np.uint16))

    def finish(self, rows: Mapping[str, Any], folder: Path, names: Names) -> None:
        """All is written photo by photo."""


def _depths(
    network: DepthNetwork, photos: PhotosOfSizes, size: tuple[int, ...] | None = None
) -> list[Any]:
    """The depth of each pixel of photos, or of maps of another size."""
    return network.in_batches(photos, lambda batch: network.depths(batch, size).cpu().numpy())
