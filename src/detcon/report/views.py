"""Draws two views of a photo as training cuts them, with the regions that it samples.

It calls the functions of training in the same order, with another random generator: the views are
like those that a run saw, not the same ones.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Integer, UInt8

from detcon.data.colour import apply_colour, draw_colour
from detcon.data.cut import draw_cut
from detcon.data.recipe import ViewsRecipe
from detcon.data.regions import split_in_halves
from detcon.masks import Masks
from detcon.report.draw import Colour, mask_colours, number_regions, paint_regions, scale_to

GREY: Colour = (110, 110, 110)


@dataclass(frozen=True, eq=False)
class View:
    """One view.

    Attributes:
        picture: What the network sees, before the normalisation.
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
        masks: None means that the whole view is the one region, and none is shown.
        grid: Rows and columns of the encoder's output, which decide what is present in a view.
        num_regions: How many regions are sampled, with replacement.
    """
    views, halves = [], None
    height, width = size = photo.shape[:2]
    for colour in recipe.colour[: 2 if recipe.second == "own" else 1]:
        cut = draw_cut(rng, size, recipe)
        ids, regions = (), np.zeros((0, recipe.size, recipe.size), bool)
        if masks is not None:
            sampled, weights = cut.weights(
                masks, size, recipe.size, grid, rng=rng, num_regions=num_regions, **recipe.drawing
            )
            distinct, places = np.unique(sampled, return_index=True)
            places = places[distinct >= 0]
            ids = tuple(sampled[places].tolist())
            if recipe.second == "halves":
                tall, wide = recipe.size // grid[0], recipe.size // grid[1]
                cells = split_in_halves(sampled, weights, rng)[:, places] > 0
                halves = cells.repeat(tall, axis=2).repeat(wide, axis=3)
            regions = _regions(cut.labels(masks.patterns, size, recipe.size), masks, ids)
        pixels = cut.image(photo, recipe.size, recipe.resize)
        picture = _coloured(pixels, torch.from_numpy(draw_colour(rng, colour)))
        bottom, right = cut.top + cut.height, cut.left + cut.width
        place = cut.top / height, cut.left / width, bottom / height, right / width
        views.append(View(picture, ids, regions, place))
    first, second = views if len(views) == 2 else views * 2
    if halves is not None:
        first = replace(first, regions=first.regions & halves[0])
        second = replace(second, regions=second.regions & halves[1])
    return first, second


def _regions(
    patterns: Integer[np.ndarray, "s s"], masks: Masks, ids: tuple[int, ...]
) -> Bool[np.ndarray, "r s s"]:
    """The pixels of a view that belong to each of some masks."""
    if masks.membership is None:
        return patterns == np.array(ids, int)[:, None, None]
    return masks.membership.T[list(ids)][:, patterns]


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
    matched = np.array([i in numbers for i in view.ids], bool)
    alone, both = view.regions[~matched], view.regions[matched]
    large = scale_to(view.picture, side)
    large = paint_regions(large, alone, [GREY] * len(alone), fill=0.0, line=1)
    ids = [i for i in view.ids if i in numbers]
    large = paint_regions(large, both, [colours[i] for i in ids], fill=0.15)
    return number_regions(large, both, [str(numbers[i]) for i in ids])
