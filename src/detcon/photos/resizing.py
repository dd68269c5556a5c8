"""Resizes pictures, and shows any number of channels as RGB."""

import cv2
import numpy as np
from jaxtyping import UInt8

_AT_ONCE = 4  # channels that OpenCV resizes


def shrink(photo: UInt8[np.ndarray, "y x c"], max_side: int | None) -> UInt8[np.ndarray, "h w c"]:
    """Brings the longest side down to `max_side` by area averaging; never enlarges."""
    height, width = photo.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return photo
    factor = max_side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return resize(photo, size, cv2.INTER_AREA)


def resize(
    photo: UInt8[np.ndarray, "y x c"], size: tuple[int, int], how: int
) -> UInt8[np.ndarray, "h w c"]:
    """OpenCV's resize for any number of channels: it takes four at most, and drops a single one.

    `size` is width and height, `how` one of OpenCV's interpolations.
    """
    channels = photo.shape[2]
    if 1 < channels <= _AT_ONCE:
        return cv2.resize(photo, size, interpolation=how)
    groups = np.split(photo, range(_AT_ONCE, channels, _AT_ONCE), axis=2)
    parts = [cv2.resize(np.ascontiguousarray(g), size, interpolation=how) for g in groups]
    return np.dstack(parts)


def shown(photo: UInt8[np.ndarray, "y x c"]) -> UInt8[np.ndarray, "y x 3"]:
    """A picture as RGB: grey is repeated; of more than three bands, the first three."""
    if photo.shape[2] < 3:
        photo = photo[..., :1].repeat(3, axis=2)
    return np.ascontiguousarray(photo[..., :3])
