"""Colours that colour-blind readers tell apart, for masks, classes and curves alike."""

import cv2
import numpy as np
from jaxtyping import UInt8

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


def rgb(colour: str) -> tuple[int, int, int]:
    """`"#0072B2"` as 0, 114, 178."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def class_colours() -> UInt8[np.ndarray, "256 3"]:
    """A fixed colour for each class id: the first seven by Okabe and Ito; void is black.

    After those hues step by the golden angle, so that neighbouring ids are far apart; brightness
    and saturation change from round to round.
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
