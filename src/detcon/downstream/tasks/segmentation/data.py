"""Photos with a class for every pixel, in any format that has label maps."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8

from detcon.data.labelled.examples import (
    Examples,
    LabelError,
    LabelledData,
    LabelledSplit,
    same_names,
)
from detcon.data.labelled.window import Window
from detcon.formats.format import LabelMaps
from detcon.formats.reading.holdout import Holdout
from detcon.formats.registry import open_label_maps, resolved
from detcon.formats.segments import VOID as VOID
from detcon.notes import note


def open_label_data(
    data: str | Path,
    *,
    format: str = "folder",
    ignore: int | None = None,
    num_classes: int | None = None,
    max_side: int | None = None,
    channels: int = 3,
    holdout: Holdout | None = None,
) -> LabelledData:
    """Opens the training and the validation photos of a data set.

    `ignore` and `num_classes` are for labelled folders; `max_side` is the longest side of the
    photos, shrunk when read; `holdout` says how val is drawn where the data set has none.

    Raises:
        AnnotationError: A part is missing, or can't be read.
        LabelError: `ignore` or `num_classes` for a format that knows its classes, or the classes of
            the two differ.
    """
    format = resolved(data, format)
    if format == "folder":
        options = {"ignore": ignore, "channels": channels, "holdout": holdout}
        train = open_label_maps(data, format, "train", num_classes=num_classes, **options)
        val = open_label_maps(data, format, "val", num_classes=len(train.names), **options)
    else:
        if (ignore, num_classes) != (None, None):
            raise LabelError(
                f"task.ignore and task.num_classes are for format=folder; format={format} knows "
                f"its classes and its void: leave them out"
            )
        train, val = (
            open_label_maps(data, format, split, holdout=holdout) for split in ("train", "val")
        )
    splits = [
        LabelledSplit(maps, LabelMaps.pair, resize_nearest, max_side, channels)
        for maps in (train, val)
    ]
    return LabelledData(*splits, names=same_names(train, val))


def check_classes(examples: Examples, which: str, names: tuple[str, ...]) -> None:
    """Looks for two classes in the labels; mostly reads the first alone.

    Validation photos of one class can be scored, but the user is told: a constant is right there.

    Raises:
        LabelError: They are void, or those to learn from show one class alone.
    """
    seen: set[int] = set()
    for example in examples:
        seen |= set(np.unique(example.labels).tolist())
        if len(seen - {VOID}) > 1:
            return
    what = f"the labels of all {len(examples)} {which} photos"
    if not seen - {VOID}:
        use = "learn" if which == "training" else "score on"
        raise LabelError(
            f"{what} are void ({VOID}) everywhere: there is nothing to {use}; correct them"
        )
    told = f"{what} show only one class, {names[min(seen)]}"
    if which == "validation":
        note(f"{told}: always saying that is right, so that the figure may mean nothing")
        return
    hint = (
        f"; {VOID} means void: for masks of 0 and {VOID}, save {VOID} as 1" if VOID in seen else ""
    )
    raise LabelError(f"{told}; label another class too, or use more photos{hint}")


def resize_nearest(
    values: Shaped[np.ndarray, "y x"], size: tuple[int, ...]
) -> Shaped[np.ndarray, "h w"]:
    """Brings a map to another height and width; mixes no two values."""
    if values.shape == tuple(size):
        return values
    return np.asarray(cv2.resize(values, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT))


def cut_labels(labels: UInt8[np.ndarray, "y x"], window: Window) -> UInt8[np.ndarray, "h w"]:
    """The labels in a window, void around a small photo."""
    return window.cut_map(labels, VOID)
