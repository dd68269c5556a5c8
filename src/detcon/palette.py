"""Colours that colour-blind readers can tell apart, for masks, classes and curves."""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float, UInt8

OKABE_ITO = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#F0E442",
}
"""Okabe and Ito, "Color universal design", 2008; without black, which means void here."""

VOID = 255

MIDDLE_DEPTH = 3.0
"""Depth in metres at the middle of the colour scale."""


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour.

    >>> rgb("#0072B2")
    (0, 114, 178)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


@lru_cache(maxsize=1)
def class_colours() -> UInt8[np.ndarray, "256 3"]:
    """A fixed colour for each class id: the first seven by Okabe and Ito; void is black.

    Each further one is that of a grid over RGB which lies farthest from all before it, void and
    white among them, in CIELAB.
    """
    levels = np.linspace(0, 255, 8).astype(np.uint8)  # of each channel
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    first = np.array([rgb(colour) for colour in OKABE_ITO.values()], np.uint8)
    lab = _lab(grid)
    far = np.full(len(grid), np.inf)
    colours = [*first]
    for taken in _lab(np.array([*first, (0, 0, 0), (255, 255, 255)], np.uint8)):
        far = np.minimum(far, np.square(lab - taken).sum(1))
    while len(colours) < VOID:
        best = int(far.argmax())
        colours.append(grid[best])
        far = np.minimum(far, np.square(lab - lab[best]).sum(1))
    colours.append(np.zeros(3, np.uint8))
    table = np.stack(colours)
    table.flags.writeable = False
    return table


def _lab(colours: UInt8[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    pixels = (colours[None] / 255).astype(np.float32)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2Lab)[0])


def depth_colours(depth: Float[np.ndarray, "y x"]) -> UInt8[np.ndarray, "y x 3"]:
    """Depth in metres as colours: viridis, the nearest brightest; NaN is black.

    The position on the scale is 1 / (1 + depth / 3 m). One scale fits a desk and a street, and a
    depth has the same colour in every picture.
    """
    known = ~np.isnan(depth)
    nearness = 1 / (1 + np.where(known, depth, 0.0) / MIDDLE_DEPTH)
    steps = np.clip(np.round(255 * nearness), 0, 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(steps, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    return np.where(known[..., None], colours, 0).astype(np.uint8)
