"""Colours that colour-blind readers can tell apart, for masks, classes and curves."""

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


def class_colours() -> UInt8[np.ndarray, "256 3"]:
    """A fixed colour for each class id: the first seven by Okabe and Ito; void is black.

    The next hues step by the golden angle, so that neighbouring ids differ; brightness and
    saturation change from round to round.
    """
    ids = np.arange(256)
    hue = (ids * 0.618034 * 180) % 180
    saturation = np.array([200, 120, 230])[ids % 3]
    value = np.array([235, 200, 140, 250])[ids % 4]
    hsv = np.stack([hue, saturation, value], -1).astype(np.uint8)[None]
    colours = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0], np.uint8)
    colours[: len(OKABE_ITO)] = [rgb(colour) for colour in OKABE_ITO.values()]
    colours[VOID] = 0
    return colours


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
