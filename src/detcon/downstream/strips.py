"""Predictions to look at: photo | truth | prediction, one PNG a picture."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from detcon.photos import shown


def strip(
    photo: UInt8[np.ndarray, "y x c"],
    truth: UInt8[np.ndarray, "y x 3"],
    prediction: UInt8[np.ndarray, "y x 3"],
) -> UInt8[np.ndarray, "y x3 3"]:
    """Photo, truth and prediction side by side, three pictures of equal width."""
    return np.concatenate([shown(photo), truth, prediction], axis=1)


def write_strip(path: Path, picture: UInt8[np.ndarray, "y x 3"]) -> None:
    """Writes a PNG.

    Raises:
        OSError: The disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    path.write_bytes(data.tobytes())
