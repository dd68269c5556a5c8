"""A picture with its labels, and its files: written whole, and read back if they are whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8, UInt16

from detcon.files import write_whole

_JPEG_QUALITY, _PNG_EFFORT = 92, 3
_ENDS = {".png": b"IEND\xaeB`\x82", ".jpg": b"\xff\xd9"}  # of files that are whole


@dataclass(frozen=True)
class ScenePicture:
    """A picture of either kind, as it is written; composites have no depth."""

    rgb: UInt8[np.ndarray, "y x 3"]
    instances: UInt16[np.ndarray, "y x"]
    labels: UInt8[np.ndarray, "y x"]
    depth: Float32[np.ndarray, "y x"] | None


def write_pixels(path: Path, pixels: np.ndarray) -> None:
    """Writes a PNG or, if the name says so, a JPEG; three channels are RGB."""
    options = {
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, _PNG_EFFORT],
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
    }
    if pixels.ndim == 3:
        pixels = pixels[..., ::-1]
    data = cv2.imencode(path.suffix, np.ascontiguousarray(pixels), options[path.suffix])[1]
    write_whole(path, data.tobytes(), durable=False)


def read_pixels(path: Path) -> Any:
    """The pixels of a file, or None where it is missing, cut off or damaged."""
    data = path.read_bytes() if path.is_file() else b""
    if not data.endswith(_ENDS[path.suffix]):
        return None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels[..., ::-1] if pixels is not None and pixels.ndim == 3 else pixels
