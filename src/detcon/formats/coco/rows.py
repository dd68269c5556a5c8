"""The annotations of a COCO file of objects: validated, clipped, and kept in arrays."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from pycocotools import mask as coco_mask

from detcon.formats.coco.json_file import CocoCategories, CocoImages, refuse_twice, whole_number
from detcon.formats.coco.polygons import CocoSegmentations, CocoSegmentationsWriter
from detcon.formats.errors import AnnotationError
from detcon.notes import note

_RLE: Any = coco_mask  # its stubs know one kind of argument each


@dataclass(frozen=True, eq=False)
class CocoRows:
    """All annotations, sorted by image.

    Attributes:
        ids: Of the annotations.
        boxes: Left, top, right, bottom, within the picture.
        classes: From 0.
        crowd: Whether they are crowds: many objects annotated as one.
        first: Where the rows of each image begin; one more at the end.
        alone: Whether they have a box alone.
        segments: The segmentations, in the order of the file.
        entries: The place of each row in the file.
    """

    ids: Int64[np.ndarray, " n"]
    boxes: Float32[np.ndarray, "n 4"]
    classes: Int64[np.ndarray, " n"]
    crowd: Bool[np.ndarray, " n"]
    first: Int64[np.ndarray, " i"]
    alone: Bool[np.ndarray, " n"]
    segments: CocoSegmentations
    entries: Int64[np.ndarray, " n"]


def read_rows(
    path: Path, entries: list[dict[str, Any]], images: CocoImages, categories: CocoCategories
) -> CocoRows:
    """Checks all annotations and sorts them by image.

    A box of no area, or none at all, is drawn around the segmentation. What is left out is noted.

    Raises:
        AnnotationError: One of them can't be used, or none lies within its picture.
    """
    classes = categories.places()
    kept, boxes, writer = [], [], CocoSegmentationsWriter()
    for entry in entries:
        number = whole_number(path, entry, "id", "an annotation")
        image = images.place.get(whole_number(path, entry, "image_id", "an annotation"))
        label = classes.get(whole_number(path, entry, "category_id", "an annotation"))
        if image is None or label is None:
            what = "image" if image is None else "category"
            raise AnnotationError(
                f"the annotation {number} of {path} belongs to the {what} "
                f"{entry[what + '_id']}, which isn't in the file; correct or remove it"
            )
        size = images.sizes[image].tolist()
        segmentation = _segmentation(entry)
        try:
            writer.add(segmentation, (size[0], size[1]))
        except ValueError as error:
            raise AnnotationError(
                f"the 'segmentation' of the annotation {number} of {path} {error}; correct or "
                f"remove it"
            ) from error
        boxes.append(_check_box(path, number, entry.get("bbox"), segmentation != []))
        kept.append((image, label, read_crowd(path, entry), number, segmentation == []))
    refuse_twice(path, (row[3] for row in kept), "annotations with the id")
    table, segments = np.array(kept, np.int64), writer.close()
    corners = _corners(np.array(boxes, np.float64), images.sizes[table[:, 0]])
    flat = _flat(corners)
    for place in np.flatnonzero(flat & (table[:, 4] == 0)).tolist():
        height, width = images.sizes[table[place, 0]].tolist()
        code = encode_segmentation(path, int(table[place, 3]), segments, place, (height, width))
        left, top, *sides = _RLE.toBbox(code)
        corners[place] = left, top, left + sides[0], top + sides[1]
    order = np.argsort(table[:, 0], kind="stable")
    order = order[~_flat(corners)[order]]
    if not len(order):
        raise AnnotationError(
            f"no box of {path} lies within its picture; check 'bbox' and the sizes"
        )
    alone = table[:, 4] > 0
    _note(path, table[:, 3], _flat(corners), flat & ~_flat(corners), alone & ~alone.all())
    table = table[order]
    return CocoRows(
        ids=table[:, 3].copy(),
        boxes=corners[order],
        classes=table[:, 1].copy(),
        crowd=table[:, 2].astype(bool),
        first=np.searchsorted(table[:, 0], np.arange(len(images.ids) + 1)).astype(np.int64),
        alone=table[:, 4].astype(bool),
        segments=segments,
        entries=order.astype(np.int64),
    )


def encode_segmentation(
    path: Path, number: int, segments: CocoSegmentations, place: int, size: tuple[int, int]
) -> dict[str, Any]:
    """The run-length code of the annotation `number`, which is at `place` in the file `path`.

    Raises:
        AnnotationError: Its code doesn't fill a picture of this height and width.
    """
    try:
        return segments.encode(place, size)
    except ValueError as error:
        raise AnnotationError(
            f"the annotation {number} of {path} has a run-length code that doesn't fill its "
            f"picture; correct or remove it"
        ) from error


def read_crowd(path: Path, entry: dict[str, Any]) -> bool:
    """Whether an annotation, or a segment, is a crowd; some programs write 0 and 1 as text.

    Raises:
        AnnotationError: `iscrowd` is neither 0 nor 1.
    """
    value = entry.get("iscrowd")
    if value not in (None, 0, 1, "0", "1"):
        raise AnnotationError(
            f"the annotation {entry.get('id')} of {path} has {value!r} as 'iscrowd'; it takes 0 or "
            f"1 (many objects annotated as one)"
        )
    return value in (1, "1")


def _segmentation(entry: dict[str, Any]) -> Any:
    """The segmentation without empty polygons; [] where there is none."""
    found = entry.get("segmentation")
    if isinstance(found, list):
        return [polygon for polygon in found if polygon != []]
    return [] if found is None else found


def _note(
    path: Path,
    ids: Int64[np.ndarray, " n"],
    left_out: Bool[np.ndarray, " n"],
    redrawn: Bool[np.ndarray, " n"],
    alone: Bool[np.ndarray, " n"],
) -> None:
    """Tells the user in one sentence what is read otherwise than it is written."""
    parts = []
    for which, what in (
        (left_out, "left out, since nothing of them lies within the picture"),
        (redrawn, "with a box of no area, which is drawn around the segmentation"),
        (alone, "with a box alone, so that their photos have boxes and no masks"),
    ):
        if which.any():
            first = f" (the first has the id {ids[which][0]})"
            parts.append(f"{np.count_nonzero(which):,} {what}{first}")
    if parts:
        note(f"{path}: of {len(ids):,} annotations {'; '.join(parts)}")


def _check_box(path: Path, number: int, box: Any, has_segmentation: bool) -> list[Any]:
    if has_segmentation and box is None:
        return [0, 0, 0, 0]
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


def _flat(boxes: Float32[np.ndarray, "n 4"]) -> Bool[np.ndarray, " n"]:
    return (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
