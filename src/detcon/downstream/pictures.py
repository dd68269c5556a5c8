"""Writes predictions as PNG files."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

from detcon.files import write_whole


def write_png(
    path: Path,
    pixels: UInt8[np.ndarray, "y x"] | UInt16[np.ndarray, "y x"] | UInt8[np.ndarray, "y x 3"],
    *,
    palette: UInt8[np.ndarray, "256 3"] | None = None,
) -> None:
    """Writes a PNG in one move: RGB, grey of 8 or 16 bits, or ids with a palette of colours.

    Raises:
        OSError: The disk is full or can't be written.
    """
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(palette.tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    image.save(file, "PNG")
    write_whole(path, file.getvalue(), durable=False)
