"""Photos and depth maps from arrays, converted to one form."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from detcon.photos import UnreadablePhoto


def in_channels(
    photo: UInt8[np.ndarray, "y x c"], channels: int, name: str
) -> UInt8[np.ndarray, "y x d"]:
    """RGB, or grey where one channel is asked for.

    Args:
        photo: As it was read.
        channels: How many are asked for.
        name: How messages call the photo.

    Raises:
        UnreadablePhoto: It has another number of channels.
    """
    if photo.shape[2] == 3 and channels == 1:
        return cv2.cvtColor(np.ascontiguousarray(photo), cv2.COLOR_RGB2GRAY)[..., None]
    if photo.shape[2] != channels:
        raise UnreadablePhoto(
            f"cannot read {name}: it has {photo.shape[2]} channels, but {channels} were asked for"
        )
    return np.ascontiguousarray(photo)


def in_metres(depth: np.ndarray, unit: float) -> Float32[np.ndarray, "y x"]:
    """NaN where nothing was measured: where it isn't above 0 and finite.

    Args:
        depth: As it was read.
        unit: How many metres a step of it is.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # infinity is no depth either
        metres = depth.astype(np.float32) * np.float32(unit)
    return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(np.nan))
