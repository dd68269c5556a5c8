"""Predictions to look at: photo | truth | prediction, one PNG a picture."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Integer, UInt8

from detcon.downstream.labelled import VOID

BLACK = np.zeros(3, np.uint8)


def palette() -> UInt8[np.ndarray, "256 3"]:
    """A fixed colour for each class id; void is black.

    Hues step by the golden angle, so that neighbouring ids are far apart; brightness and
    saturation change from round to round.
    """
    ids = np.arange(256)
    hue = (ids * 0.618034 * 180) % 180
    saturation = np.array([200, 120, 230])[ids % 3]
    value = np.array([235, 200, 140, 250])[ids % 4]
    colours = np.stack([hue, saturation, value], -1).astype(np.uint8)[None]
    colours = cv2.cvtColor(colours, cv2.COLOR_HSV2RGB)[0]
    colours[VOID] = BLACK
    return np.asarray(colours, np.uint8)


def strip(
    photo: UInt8[np.ndarray, "y x 3"],
    truth: Integer[np.ndarray, "y x"],
    prediction: Integer[np.ndarray, "y x"],
) -> UInt8[np.ndarray, "y x3 3"]:
    """Photo, truth and prediction side by side, three pictures of equal width.

    The prediction is shown where the truth is void as well: a user looks at whole pictures.
    """
    colours = palette()
    return np.concatenate([photo, colours[truth], colours[prediction]], axis=1)


def write_strip(path: Path, picture: UInt8[np.ndarray, "y x 3"]) -> None:
    """Writes a PNG.

    Raises:
        OSError: The disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    path.write_bytes(data.tobytes())
