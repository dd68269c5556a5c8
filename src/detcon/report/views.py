"""Draws two views of a photo as training cuts them, with the regions that it samples.

Drawn with the same functions as training, in the same order, from a generator of our own: these
are such views as training sees, not the very ones that a run saw.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from detcon.data.colour import apply_colour, draw_colour
from detcon.data.cut import Cut, draw_cut
from detcon.data.recipe import ViewsRecipe
from detcon.data.regions import split_in_halves
from detcon.masks import Masks
from detcon.report.draw import Colour, mask_colours, number_regions, paint_regions, scale_to

GREY: Colour = (110, 110, 110)


@dataclass(frozen=True, eq=False)
class View:
    """One view.

    Attributes:
        picture: What the network sees, but for the normalisation.
        ids: The masks that were sampled, each once, ascending.
        regions: Where they lie in the view, pixel by pixel, before they are shrunk to the grid.
            With `second=halves` what of it lies in cells of the view's half.
        place: Top, left, bottom and right of the cut as shares of the photo's height and width.
    """

    picture: UInt8[np.ndarray, "s s c"]
    ids: tuple[int, ...]
    regions: Bool[np.ndarray, "r s s"]
    place: tuple[float, float, float, float]


def draw_views(
    photo: UInt8[np.ndarray, "y x c"],
    masks: Masks | None,
    recipe: ViewsRecipe,
    *,
    grid: tuple[int, int],
    rng: np.random.Generator,
    num_regions: int = 16,
) -> tuple[View, View]:
    """Draws two views of a photo.

    Args:
        photo: The whole photo.
        masks: Its masks; None means that the whole view is the one region, and none is shown.
        recipe: How views are drawn.
        grid: Rows and columns of the encoder's output, which decide what is present in a view.
        rng: Where the draws come from.
        num_regions: How many regions are sampled, with replacement.
    """
    views = []
    halves = None
    for colour in recipe.colour[: 2 if recipe.second == "own" else 1]:
        cut = draw_cut(rng, photo.shape[:2], recipe)
        ids, regions = (), np.zeros((0, recipe.size, recipe.size), bool)
        if masks is not None:
            ids, regions, halves = _sample(
                cut, masks, recipe, photo.shape[:2], grid=grid, rng=rng, num_regions=num_regions
            )
        pixels = cut.image(photo, recipe.size, recipe.resize)
        picture = _coloured(pixels, torch.from_numpy(draw_colour(rng, colour)))
        views.append(View(picture, ids, regions, _place(cut, photo.shape[:2])))
    if len(views) == 1:
        views = [views[0], views[0]]
    if halves is not None:
        views = [replace(view, regions=view.regions & half) for view, half in zip(views, halves)]
    return views[0], views[1]


def _place(cut: Cut, size: tuple[int, int]) -> tuple[float, float, float, float]:
    height, width = size
    bottom, right = cut.top + cut.height, cut.left + cut.width
    return cut.top / height, cut.left / width, bottom / height, right / width


def _sample(
    cut: Cut,
    masks: Masks,
    recipe: ViewsRecipe,
    size: tuple[int, int],
    *,
    grid: tuple[int, int],
    rng: np.random.Generator,
    num_regions: int,
) -> tuple[tuple[int, ...], Bool[np.ndarray, "r s s"], Bool[np.ndarray, "2 r s s"] | None]:
    """The distinct masks that were sampled, all of their pixels in the view, and their halves."""
    sampled, weights = cut.weights(
        masks, size, recipe.size, grid, rng=rng, num_regions=num_regions, **recipe.drawing
    )
    distinct, places = np.unique(sampled, return_index=True)
    places = places[distinct >= 0]
    ids = tuple(int(i) for i in sampled[places])
    halves = None
    if recipe.second == "halves":
        tall, wide = recipe.size // grid[0], recipe.size // grid[1]
        cells = split_in_halves(sampled, weights, rng)[:, places] > 0
        halves = cells.repeat(tall, axis=2).repeat(wide, axis=3)
    patterns = cut.labels(masks.patterns, size, recipe.size)
    if masks.membership is None:
        regions = patterns == np.array(ids, int)[:, None, None]
    else:
        regions = masks.membership.T[list(ids)][:, patterns]
    return ids, regions, halves


def _coloured(
    pixels: UInt8[np.ndarray, "s s c"], colour: torch.Tensor
) -> UInt8[np.ndarray, "s s c"]:
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    channels = image.shape[1]
    changed = apply_colour(image, colour[None], mean=(0.0,) * channels, std=(1.0,) * channels)
    return (changed[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def paint_views(
    views: tuple[View, View], masks: Masks | None, *, side: int
) -> tuple[UInt8[np.ndarray, "s s 3"], UInt8[np.ndarray, "s s 3"]]:
    """Outlines and numbers the sampled regions; the same number and colour is the same mask.

    A region that was sampled in one view only has no positive: it is outlined in grey.
    """
    colours = {} if masks is None else mask_colours(masks)
    shared = set(views[0].ids) & set(views[1].ids)
    numbers = {i: n for n, i in enumerate(sorted(shared), start=1)}
    first, second = (_painted(view, colours, numbers, side) for view in views)
    return first, second


def _painted(
    view: View, colours: dict[int, Colour], numbers: dict[int, int], side: int
) -> UInt8[np.ndarray, "s s 3"]:
    matched = [i in numbers for i in view.ids]
    large = scale_to(view.picture, side)
    alone, both = view.regions[~np.array(matched, bool)], view.regions[np.array(matched, bool)]
    large = paint_regions(large, alone, [GREY] * len(alone), fill=0.0, line=1)
    ids = [i for i in view.ids if i in numbers]
    large = paint_regions(large, both, [colours[i] for i in ids], fill=0.15)
    return number_regions(large, both, [str(numbers[i]) for i in ids])
