"""Photos with depth maps, in any format that has them."""

import functools

import numpy as np
from jaxtyping import Float32, UInt8

from detcon.data.labelled.examples import Examples, LabelError, LabelledSplit, keep
from detcon.data.labelled.window import Window
from detcon.downstream.tasks.segmentation.data import resize_nearest
from detcon.formats.format import DepthMaps, exif_hint
from detcon.notes import say

RANGE_OF = 8
"""Photos whose depths are looked at for a range."""
NEAR, FAR = 0.1, 150.0
"""Metres; half of a photo is seldom nearer than the one, or farther away than the other."""


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
    """
    pair = functools.partial(_pair, name)
    return LabelledSplit(maps, pair, keep if whole else resize_nearest, max_side, channels)


def say_range(maps: DepthMaps) -> None:
    """Prints the depths of a few photos: in a wrong unit they look like depths, too."""
    few = maps.keys[:: max(1, len(maps.keys) // RANGE_OF)][:RANGE_OF]
    depth = np.concatenate([np.ravel(maps.depth(key)) for key in few])
    depth = depth[np.isfinite(depth) & (depth > 0)]
    if not depth.size:
        return  # `check_measured` has the sentence
    middle, unlikely = np.median(depth), ""
    unit: float | None = getattr(maps, "unit", None)  # of formats that have one
    if not NEAR <= middle <= FAR:
        advice = (
            "give the metres of a step by task.unit=" if hasattr(maps, "unit") else "check them"
        )
        unlikely = f", which is unlikely; {advice}"
    say(
        f"depth of {len(few)} training photos: {depth.min():.3g} to {depth.max():.3g} m, half of "
        f"it below {middle:.3g} m{'' if unit is None else f' (task.unit={unit:g})'}{unlikely}"
    )


def check_measured(examples: Examples, which: str) -> None:
    """Raises a `LabelError` where nothing was measured; mostly reads the first map alone."""
    if all(np.isnan(example.labels).all() for example in examples):
        raise LabelError(
            f"no pixel of the depth maps of all {len(examples)} {which} photos was measured (what "
            f"isn't above 0 m and finite counts as missing); check the files"
        )


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
            f"{exif_hint(depth.shape, photo.shape[:2])}"
        )
    depth = np.asarray(depth, np.float32)
    return photo, np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))


def _size(array: np.ndarray) -> str:
    return f"{array.shape[0]} x {array.shape[1]} pixels"
