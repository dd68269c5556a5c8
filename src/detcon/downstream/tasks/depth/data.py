"""Photos with depth maps, in any format that has them."""

import functools

import numpy as np
from jaxtyping import Float32, UInt8

from detcon.data.labelled.examples import LabelError, LabelledSplit, keep
from detcon.data.labelled.window import Window
from detcon.downstream.tasks.segmentation.data import resize_nearest
from detcon.formats.format import DepthMaps


def depth_split(
    maps: DepthMaps,
    name: str,
    max_side: int | None = None,
    *,
    whole: bool = False,
    channels: int = 3,
) -> LabelledSplit:
    """One split; labels are metres, NaN where nothing was measured.

    Args:
        name: Of the split, for messages.
        whole: Depth maps keep their size, to score predictions at. Else they are shrunk with the
            photo, to the nearest pixel, so that crops can be cut from both.

    Raises:
        LabelError: Nothing was measured in any depth map.
    """
    pair = functools.partial(_pair, name)
    split = LabelledSplit(maps, pair, keep if whole else resize_nearest, max_side, channels)
    # usually the first photo has some depth
    if all(np.isnan(split.read(index).labels).all() for index in range(len(split.keys))):
        raise LabelError(
            f"no pixel of the {len(split.keys)} depth maps in {name} was measured (what "
            f"isn't above 0 m and finite counts as missing); check the files"
        )
    return split


def cut_depth(depth: Float32[np.ndarray, "y x"], window: Window) -> Float32[np.ndarray, "h w"]:
    """The depth in a window, NaN around a small photo.

    A photo that is scaled by s looks as if taken from s times as near: its depth is divided by s
    (Eigen et al., arXiv 1406.2283).
    """
    return window.cut_map(depth, np.nan) / np.float32(window.factor)


def _pair(
    name: str, maps: DepthMaps, key: str, channels: int
) -> tuple[UInt8[np.ndarray, "y x c"], Float32[np.ndarray, "y x"]]:
    photo, depth = maps.photo(key, channels), maps.depth(key)
    if photo.shape[:2] != depth.shape:
        raise LabelError(
            f"the depth map of {key} in {name} is {_size(depth)}, but its photo is "
            f"{_size(photo)} (upright); a depth map must have exactly the photo's size"
        )
    depth = np.asarray(depth, np.float32)
    return photo, np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))


def _size(array: np.ndarray) -> str:
    return f"{array.shape[0]} x {array.shape[1]} pixels"
