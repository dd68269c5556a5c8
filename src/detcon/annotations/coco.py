"""COCO's objects: instances_train2017.json and the like, of COCO or in its format.

    DIR/annotations/instances_{train,val}2017.json      DIR/{train,val}2017/000000000139.jpg

Lin et al., "Microsoft COCO", ECCV 2014; cocodataset.org/#format-data.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from detcon.annotations.coco_json import (
    CocoCategories,
    CocoImages,
    read_categories,
    read_coco_json,
    read_images,
    refuse_twice,
    whole_number,
)
from detcon.annotations.coco_segments import Segments, SegmentsWriter
from detcon.annotations.errors import AnnotationError
from detcon.annotations.objects import Objects
from detcon.photos import Photos, nearest_key


@dataclass(frozen=True, eq=False)
class _Rows:
    """All annotations, those of an image side by side.

    Attributes:
        ids: Of the annotations.
        boxes: Left, top, right, bottom, within the picture.
        classes: From 0.
        crowd: Whether they hold many objects.
        first: Where the rows of each image begin; one more at the end.
        segments: The segmentations; None where there are boxes alone.
        entries: Which of them belongs to each row.
    """

    ids: Int64[np.ndarray, " n"]
    boxes: Float32[np.ndarray, "n 4"]
    classes: Int64[np.ndarray, " n"]
    crowd: Bool[np.ndarray, " n"]
    first: Int64[np.ndarray, " i"]
    segments: Segments | None
    entries: Int64[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class CocoObjects:
    """The objects of a COCO file; parsed once, kept in arrays, and small enough for workers.

    Attributes:
        annotations: The JSON file.
        photos: The photos; keys are their `file_name`s.
        names: Of the classes, which are the categories in the order of their ids.
        category_ids: The category id of each class, for result files.
        image_ids: The image id of each key.
        dropped: How many annotations were left out, since their box lies outside the picture or
            has no area.
    """

    annotations: Path
    photos: Photos
    names: tuple[str, ...]
    category_ids: tuple[int, ...]
    image_ids: Int64[np.ndarray, " i"] = field(repr=False)
    dropped: int
    _sizes: Int64[np.ndarray, "i 2"] = field(repr=False)
    _rows: _Rows = field(repr=False)
    _places: dict[str, int] = field(repr=False)

    @property
    def keys(self) -> Sequence[str]:
        """File names, sorted."""
        return self.photos.keys

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]:
        """Decodes a photo, which must have the size that the JSON file says.

        Raises:
            UnreadablePhoto: It is missing or damaged.
            AnnotationError: It has another size.
        """
        place, photo = self._place(key), replace(self.photos, channels=channels).read(key)
        height, width = self._sizes[place].tolist()
        if photo.shape[:2] != (height, width):
            raise AnnotationError(
                f"the photo {self.photos.path(key)} has {photo.shape[0]} x {photo.shape[1]} "
                f"pixels (upright), but the image {self.image_ids[place]} of {self.annotations} "
                f"has {height} x {width}; they must match"
            )
        return photo

    def objects(self, key: str) -> Objects:
        """The objects of a photo, in the order of the file.

        Raises:
            AnnotationError: There is no such photo, or a run-length code is damaged.
        """
        place = self._place(key)
        height, width = self._sizes[place].tolist()
        rows = self._rows
        part = slice(rows.first[place], rows.first[place + 1])
        return Objects(
            size=(height, width),
            boxes=rows.boxes[part].copy(),
            classes=rows.classes[part].copy(),
            crowd=rows.crowd[part].copy(),
            segments=tuple(
                self._encode(number, (height, width)) for number in range(part.start, part.stop)
            )
            if rows.segments
            else (),
        )

    def image_id(self, key: str) -> int:
        """The id of a photo, for result files.

        Raises:
            AnnotationError: There is no such photo.
        """
        return int(self.image_ids[self._place(key)])

    def notes(self) -> str:
        """What was left out of the file, in a sentence; empty if nothing was."""
        if not self.dropped:
            return ""
        return (
            f"{self.dropped} of {self.dropped + len(self._rows.ids)} annotations of "
            f"{self.annotations} are left out: their box lies outside the picture or has no area"
        )

    def _place(self, key: str) -> int:
        if key not in self._places:
            raise AnnotationError(
                f"there is no image {key} in {self.annotations}{nearest_key(key, self.keys)}"
            )
        return self._places[key]

    def _encode(self, number: int, size: tuple[int, int]) -> dict[str, Any]:
        rows = self._rows
        assert rows.segments is not None
        try:
            return rows.segments.encode(int(rows.entries[number]), size)
        except ValueError as error:
            raise AnnotationError(
                f"the annotation {rows.ids[number]} of {self.annotations} has a run-length code "
                f"that doesn't fill its picture; correct or remove it"
            ) from error


def open_coco(data: str | Path, split: str, *, skip_empty: bool = False) -> CocoObjects:
    """Opens COCO 2017 as it is downloaded.

    Args:
        data: Holds `annotations/` and `train2017/`, `val2017/`.
        split: train or val.
        skip_empty: Whether to leave out photos that show nothing to learn from.

    Raises:
        AnnotationError: A part is missing, or the annotations can't be used.
    """
    root, name = Path(data), f"{split}2017"
    return read_coco(
        root / "annotations" / f"instances_{name}.json", root / name, skip_empty=skip_empty
    )


def read_coco(
    annotations: str | Path, images: str | Path, *, skip_empty: bool = False
) -> CocoObjects:
    """Opens any file of objects in COCO's format.

    Args:
        annotations: The JSON file.
        images: The folder that its `file_name`s are relative to.
        skip_empty: Whether to leave out photos without an object, or with nothing but crowds.

    Raises:
        AnnotationError: The folder or the file is missing, or the file can't be used; one
            sentence names the file, the annotation and what is wrong.
    """
    path, folder = Path(annotations), Path(images)
    values = read_coco_json(path)
    if not folder.is_dir():
        raise AnnotationError(
            f"there is no folder {folder} with the photos of {path}; COCO's come from "
            f"cocodataset.org/#download"
        )
    found = read_images(path, values["images"], folder)
    categories = read_categories(path, values["categories"])
    rows, dropped = _read_rows(path, values["annotations"], found, categories)
    kept = np.arange(len(found.ids))
    if skip_empty:
        usable = np.add.reduceat(np.append(~rows.crowd, False), rows.first[:-1])
        kept = np.flatnonzero((usable > 0) & (np.diff(rows.first) > 0))
        if not len(kept):
            raise AnnotationError(f"{path} holds no object to learn from: all are crowds, or empty")
        rows = _take_images(rows, kept)
    keys = [found.photos.keys[place] for place in kept.tolist()]
    return CocoObjects(
        annotations=path,
        photos=replace(found.photos, keys=keys),
        names=categories.names,
        category_ids=categories.ids,
        image_ids=found.ids[kept],
        dropped=dropped,
        _sizes=found.sizes[kept],
        _rows=rows,
        _places={key: place for place, key in enumerate(keys)},
    )


def _read_rows(
    path: Path, entries: list[dict[str, Any]], images: CocoImages, categories: CocoCategories
) -> tuple[_Rows, int]:
    """Checks all annotations and sorts them by image; says how many were dropped."""
    classes = categories.places()
    has_segments = bool(entries[0].get("segmentation"))
    kept, boxes, writer = [], [], SegmentsWriter()
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
    rows = _Rows(
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


def _take_images(rows: _Rows, kept: Int64[np.ndarray, " k"]) -> _Rows:
    """The rows of some images, numbered anew."""
    counts = np.diff(rows.first)[kept]
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    wanted = np.arange(first[-1]) - np.repeat(first[:-1] - rows.first[kept], counts)
    return replace(
        rows,
        ids=rows.ids[wanted],
        boxes=rows.boxes[wanted],
        classes=rows.classes[wanted],
        crowd=rows.crowd[wanted],
        first=first,
        entries=rows.entries[wanted],
    )
