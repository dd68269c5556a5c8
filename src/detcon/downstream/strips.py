"""Predictions to look at: photo | truth | prediction, one PNG a picture."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Integer, UInt8

from detcon.palette import class_colours
from detcon.photos import shown


def strip(
    photo: UInt8[np.ndarray, "y x c"],
    truth: Integer[np.ndarray, "y x"],
    prediction: Integer[np.ndarray, "y x"],
) -> UInt8[np.ndarray, "y x3 3"]:
    """Photo, truth and prediction side by side, three pictures of equal width.

    The prediction is shown where the truth is void as well: a user looks at whole pictures.
    """
    colours = class_colours()
    return np.concatenate([shown(photo), colours[truth], colours[prediction]], axis=1)


def write_strip(path: Path, picture: UInt8[np.ndarray, "y x 3"]) -> None:
    """Writes a PNG.

    Raises:
        OSError: The disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    path.write_bytes(data.tobytes())
