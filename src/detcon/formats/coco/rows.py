"""The annotations of a COCO file of objects: validated, clipped, and kept in arrays."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from detcon.formats.coco.json_file import CocoCategories, CocoImages, refuse_twice, whole_number
from detcon.formats.coco.polygons import CocoSegmentations, CocoSegmentationsWriter
from detcon.formats.errors import AnnotationError


@dataclass(frozen=True, eq=False)
class CocoRows:
    """All annotations, sorted by image.

    Attributes:
        ids: Of the annotations.
        boxes: Left, top, right, bottom, within the picture.
        classes: From 0.
        crowd: Whether they are crowds: many objects annotated as one.
        first: Where the rows of each image begin; one more at the end.
        segments: In the order of the file; None where there are boxes alone.
        entries: The place of each row in the file.
    """

    ids: Int64[np.ndarray, " n"]
    boxes: Float32[np.ndarray, "n 4"]
    classes: Int64[np.ndarray, " n"]
    crowd: Bool[np.ndarray, " n"]
    first: Int64[np.ndarray, " i"]
    segments: CocoSegmentations | None
    entries: Int64[np.ndarray, " n"]


def read_rows(
    path: Path, entries: list[dict[str, Any]], images: CocoImages, categories: CocoCategories
) -> tuple[CocoRows, int]:
    """Checks all annotations and sorts them by image.

    Returns:
        The rows, and how many annotations were left out since their box lies outside the picture
        or has no area.

    Raises:
        AnnotationError: One of them can't be used, or none lies within its picture.
    """
    classes = categories.places()
    has_segments = bool(entries[0].get("segmentation"))
    kept, boxes, writer = [], [], CocoSegmentationsWriter()
    for entry in entries:
        number = whole_number(path, entry, "id", "an annotation")
        image = images.place.get(whole_number(path, entry, "image_id", "an annotation"))
        label = classes.get(whole_number(path, entry, "category_id", "an annotation"))
        if image is None or label is None:
            what = "image" if image is None else "category"
            raise AnnotationError(
                f"the annotation {number} of {path} belongs to the {what} "
                f"{entry[what + '_id']}, which isn't in the file"
            )
        if bool(entry.get("segmentation")) != has_segments:
            raise AnnotationError(
                f"the annotation {number} of {path} has {'no ' if has_segments else 'a '}"
                f"'segmentation', unlike those before; all must have one, or none"
            )
        size = images.sizes[image].tolist()
        boxes.append(_check_box(path, number, entry.get("bbox")))
        if has_segments:
            try:
                writer.add(entry["segmentation"], (size[0], size[1]))
            except ValueError as error:
                raise AnnotationError(
                    f"the 'segmentation' of the annotation {number} of {path} {error}"
                ) from error
        kept.append((image, label, bool(entry.get("iscrowd", 0)), number))
    refuse_twice(path, (row[3] for row in kept), "annotations with the id")
    table = np.array(kept, np.int64)
    corners = _corners(np.array(boxes, np.float64), images.sizes[table[:, 0]])
    sound = np.flatnonzero((corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1]))
    if not len(sound):
        raise AnnotationError(f"no box of {path} lies within its picture; check the file")
    dropped = len(table) - len(sound)
    order = sound[np.argsort(table[sound, 0], kind="stable")]
    table = table[order]
    rows = CocoRows(
        ids=table[:, 3].copy(),
        boxes=corners[order],
        classes=table[:, 1].copy(),
        crowd=table[:, 2].astype(bool),
        first=np.searchsorted(table[:, 0], np.arange(len(images.ids) + 1)).astype(np.int64),
        segments=writer.close() if has_segments else None,
        entries=order.astype(np.int64),
    )
    return rows, dropped


def _check_box(path: Path, number: int, box: Any) -> list[Any]:
    if (
        not isinstance(box, list)
        or len(box) != 4
        or not all(
            isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
            for value in box
        )
    ):
        raise AnnotationError(
            f"the annotation {number} of {path} has {box!r} as 'bbox'; it takes left, top, width "
            f"and height"
        )
    return box


def _corners(
    boxes: Float64[np.ndarray, "n 4"], sizes: Int64[np.ndarray, "n 2"]
) -> Float32[np.ndarray, "n 4"]:
    """From left, top, width, height to four edges within the picture."""
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    return np.clip(corners, 0, sizes[:, [1, 0, 1, 0]]).astype(np.float32)
