"""Photos of Hugging Face data sets with classes, label maps or boxes."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image

from detcon.formats.errors import AnnotationError
from detcon.formats.format import LabelMaps, PhotoFiles, segments_of_labels
from detcon.formats.hugging_face.rows import MAPS, Rows, class_names, is_image, open_rows
from detcon.formats.objects import Objects
from detcon.formats.reading.drawing import Drawing, LeftOut
from detcon.formats.reading.holdout import Holdout
from detcon.formats.reading.label_files import of_photo
from detcon.formats.reading.placing import Kept, header_size, keep_shapes
from detcon.formats.reading.shapes import Shape
from detcon.formats.segments import VOID, SegmentOptions, SegmentSets
from detcon.notes import counted, note
from detcon.photos import Photos, UnreadablePhoto, decode

_CATEGORIES = ("category", "categories", "label", "labels", "category_id", "class", "category_name")
_SURE = 0.9  # of the boxes that must fit a reading of their numbers


class PhotoRows(PhotoFiles, Protocol):
    """Photos in rows: none is a file of its own."""

    rows: Rows
    in_files: ClassVar[bool] = False

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]:
        """Decodes a photo. Raises `UnreadablePhoto`."""
        return self.rows.photo(key, channels)


@dataclass(frozen=True, eq=False)
class HubClasses(PhotoRows):
    """Photos with a class each."""

    photos: Photos
    names: tuple[str, ...]
    rows: Rows
    _labels: Mapping[str, int] = field(repr=False)

    def label(self, key: str) -> int:
        """The class of a photo."""
        return self._labels[key]


@dataclass(frozen=True, eq=False)
class HubMaps(PhotoRows, LabelMaps):
    """Photos with a map of class ids each, in the column `column`."""

    photos: Photos
    names: tuple[str, ...]
    rows: Rows
    column: str

    def labels(self, key: str) -> UInt8[np.ndarray, "y x"]:
        """Decodes the class of each pixel. Raises `AnnotationError`."""
        return _read_map(self.rows, key, self.column)

    def label_file(self, key: str) -> Path:
        """The column and row, as a path for messages."""
        return Path(f"the '{self.column}' of {self.rows.place(key)}")


@dataclass(frozen=True, eq=False)
class HubObjects(PhotoRows):
    """Photos with boxes of objects."""

    photos: Photos
    names: tuple[str, ...]
    rows: Rows
    _kept: Mapping[str, Kept] = field(repr=False)

    def objects(self, key: str) -> Objects:
        """The objects of a photo, in the order of the row. Raises `AnnotationError`."""
        return of_photo(self.photos, self._kept, key).objects(masks=False)


def open_classes(
    data: str | Path, split: str, *, channels: int = 3, holdout: Holdout | None = None
) -> HubClasses:
    """Opens photos with a class each; `channels` counts only when they are decoded."""
    rows = open_rows(Path(data), split, holdout)
    column = _class_column(rows)
    values = {key: rows.value(key, column) for key in rows.photos.keys}
    names = class_names(rows.features.get(column))
    labels = range(len(names)) if names else _known(open_rows(Path(data), None), column)
    places = {label: place for place, label in enumerate(labels)}
    for key, value in values.items():
        if not isinstance(value, int | str) or value not in places:
            classes = f"go from 0 to {len(names) - 1}" if names else "are numbers from 0, or names"
            raise AnnotationError(
                f"{rows.place(key)} has {value!r} as '{column}', but classes {classes}; correct or "
                f"remove the row"
            )
    found = {key: places[value] for key, value in values.items()}
    return HubClasses(rows.photos, names or tuple(map(str, labels)), rows, found)


def _known(rows: Rows, column: str) -> list[int | str]:
    """The classes of a column that has no names, in all splits, sorted: -1 is none."""
    found = [rows.value(key, column) for key in rows.photos.keys]
    known = {one for one in found if isinstance(one, str) or (isinstance(one, int) and one >= 0)}
    return _in_order(known)


def _in_order(labels: set[int | str]) -> list[int | str]:
    return sorted(labels, key=lambda one: (isinstance(one, str), one))


def open_label_maps(data: str | Path, split: str, *, holdout: Holdout | None = None) -> HubMaps:
    """Opens photos with label maps; classes go up to the greatest id of train and val."""
    rows = open_rows(Path(data), split, holdout)
    column = _map_column(rows, data)
    both = [open_rows(Path(data), one, holdout) for one in ("train", "val")]
    maps = (_read_map(part, key, column) for part in both for key in part.photos.keys)
    count = max(int(one[one != VOID].astype(int).max(initial=-1)) for one in maps) + 1
    if not count:
        raise AnnotationError(f"all labels of {data} are void; there is nothing to learn")
    return HubMaps(rows.photos, tuple(f"class {i}" for i in range(count)), rows, column)


def _map_column(rows: Rows, data: str | Path) -> str:
    pictures = [name for name, one in rows.features.items() if is_image(one)]
    column = next((name for name in MAPS if name in pictures and name != rows.image), None)
    if column is None:
        raise AnnotationError(
            f"{data} has no column of label maps: its images are {', '.join(pictures)}, and none "
            f"but '{rows.image}' is called {', '.join(MAPS)}; call the one of labels 'label'"
        )
    return column


def open_objects(data: str | Path, split: str, *, holdout: Holdout | None = None) -> HubObjects:
    """Opens photos with boxes. Raises `AnnotationError`."""
    rows = open_rows(Path(data), split, holdout)
    if "objects" not in rows.features:
        raise AnnotationError(
            f"{data} has no column 'objects', but {', '.join(rows.features)}; call the one with "
            f"'bbox' and 'category' so"
        )
    every = open_rows(Path(data), None)  # what boxes and classes mean is one for all splits
    found = {key: _objects(every, key) for key in every.photos.keys}
    sizes = {key: _photo_size(every, key) for key in found}
    told = class_names(rows.features["objects"])
    labels = {label for _, one in found.values() for label in one}
    names = told or tuple(map(str, _in_order(labels)))
    if not names:
        raise AnnotationError(f"there is no object in {data}; there is nothing to learn")
    as_corners, how = _reading({key: boxes for key, (boxes, _) in found.items()}, sizes, data)
    left, kept = LeftOut(), {}
    for key in rows.photos.keys:
        shapes = []
        for number, (box, label) in enumerate(zip(*found[key], strict=True), start=1):
            place = f"object {number} of {rows.place(key)}"
            name = told[label] if told and label in range(len(told)) else str(label)
            if name not in names:
                raise AnnotationError(
                    f"{place} has the class {label!r}, but classes are {', '.join(names)}"
                )
            corners = box if as_corners else np.concatenate([box[:2], box[:2] + box[2:]])
            shapes.append(Shape(name, corners, place))
        drawing = Drawing(key, rows.place(key), shapes)
        places = {name: place for place, name in enumerate(names)}
        kept[key], _ = keep_shapes(drawing, sizes[key], places, left)
    for sentence in (how, *_null_objects(rows), *left.sentences("objects")):
        note(sentence)
    return HubObjects(rows.photos, names, rows, kept)


def open_segments(data: Path, options: SegmentOptions) -> SegmentSets:
    """Each class of the label maps as a region."""
    rows = open_rows(data, options.split, or_whole=True)
    maps = HubMaps(rows.photos, (), rows, _map_column(rows, data))
    return segments_of_labels(maps, data if data.is_dir() else data.parent, options.split)


def _class_column(rows: Rows) -> str:
    """The column of classes: the one that has names, or else `label`."""
    named = [name for name, one in rows.features.items() if _is_class(one)]
    plain = [name for name in ("label", "labels", "class") if name in rows.features]
    found = [name for name in named if name in plain] or named or plain
    found = [name for name in found if not is_image(rows.features[name])]
    if len(found) != 1:
        raise AnnotationError(
            f"{rows.photos.source} has {len(found)} columns that may be the class "
            f"({', '.join(found) or 'of ' + ', '.join(rows.features)}); call the one 'label'"
        )
    return found[0]


def _is_class(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.get("_type") == "ClassLabel"


def _photo_size(rows: Rows, key: str) -> tuple[int, int]:
    """Height and width of a photo, upright."""
    try:
        picture = rows.data(key, rows.image)
        header = header_size(picture)
        if header is not None:
            return header[0]
        height, width = decode(picture, rows.place(key)).shape[:2]
    except UnreadablePhoto as error:
        raise AnnotationError(str(error)) from error
    return height, width


def _read_map(rows: Rows, key: str, column: str) -> UInt8[np.ndarray, "y x"]:
    place = f"the '{column}' of {rows.place(key)}"
    try:
        with Image.open(io.BytesIO(rows.data(key, column))) as picture:
            ids = np.array(picture)
    except UnreadablePhoto as error:
        raise AnnotationError(str(error)) from error
    except Exception as error:  # Pillow has no one exception for a damaged file
        raise AnnotationError(
            f"{place} is no picture that can be read; correct or remove the row"
        ) from error
    if ids.ndim != 2:
        raise AnnotationError(
            f"{place} has {ids.shape[2]} channels, but class ids take one; save it as a grey or "
            f"palette PNG"
        )
    if ids.dtype.kind not in "biu" or ids.max(initial=0) > VOID or ids.min(initial=0) < 0:
        raise AnnotationError(
            f"{place} holds {ids.max():g}, but class ids go from 0 to 254, and 255 is void; change "
            f"them, or remove the row"
        )
    return ids.astype(np.uint8)


def _objects(rows: Rows, key: str) -> tuple[Float64[np.ndarray, "n 4"], list[Any]]:
    """The boxes of a row as they are, and their classes: names, or numbers."""
    value, place = rows.value(key, "objects"), rows.place(key)
    if isinstance(value, list):  # one record an object
        columns = {name for one in value if isinstance(one, dict) for name in one}
        value = {name: [one.get(name) for one in value] for name in columns}
    value = value or {}
    boxes: Any = value.get("bbox") or []
    labels: Any = next((value[name] for name in _CATEGORIES if value.get(name) is not None), [])
    try:
        if len(boxes) != len(labels):
            raise ValueError(f"has {len(boxes)} boxes, but {len(labels)} classes")
        for label in labels:
            if not isinstance(label, int | str):
                raise ValueError(f"has {label!r} as a class; it takes a number or a name")
        array = _four_numbers(boxes)
    except ValueError as error:
        raise AnnotationError(f"{place} {error}; correct or remove the row") from error
    return array, labels


def _four_numbers(boxes: list[Any]) -> Float64[np.ndarray, "n 4"]:
    try:
        array = np.array(boxes, np.float64).reshape(-1, 4)
    except (TypeError, ValueError) as error:
        raise ValueError("has boxes that aren't four numbers each") from error
    if len(array) != len(boxes) or not np.isfinite(array).all():
        raise ValueError("has boxes that aren't four finite numbers each")
    return array


def _null_objects(rows: Rows) -> tuple[str, ...]:
    """A sentence on photos whose objects are null, not an empty list."""
    null = [key for key in rows.photos.keys if rows.value(key, "objects") is None]
    if not null:
        return ()
    return (
        f"{counted(len(null), 'photo')} of {rows.photos.source} with null as objects, read as "
        f"photos without objects: the first is {rows.place(null[0])}; remove them from the data "
        f"set if they weren't annotated",
    )


def _reading(
    boxes: Mapping[str, Float64[np.ndarray, "n 4"]],
    sizes: Mapping[str, tuple[int, ...]],
    data: str | Path,
) -> tuple[bool, str]:
    """Whether the four numbers are edges (left, top, right, bottom), and a sentence that says so.

    Boxes are width and height, as in COCO, unless that leads out of the photos more often.
    """
    every = np.concatenate([np.zeros((0, 4)), *boxes.values()])
    limits = [np.tile(sizes[key][1::-1], (len(one), 1)) for key, one in boxes.items()]
    limit = np.concatenate([np.zeros((0, 2)), *limits]) + 1  # for rounding
    if not len(every):
        return False, "there are no boxes"
    ends = {"left, top, width, height": every[:, :2] + every[:, 2:],
            "left, top, right, bottom": every[:, 2:]}  # fmt: skip
    fits = {
        how: float(np.mean(np.all((end > every[:, :2]) & (end <= limit), axis=1)))
        for how, end in ends.items()
    }
    how = max(fits, key=lambda name: fits[name])
    if fits[how] < _SURE or every.max() <= 1:
        raise AnnotationError(
            f"the boxes of {data} are neither 'left, top, width, height' nor 'left, top, right, "
            f"bottom' in pixels: the first is {every[0].tolist()}; convert them to one of these"
        )
    return how.endswith("bottom"), f"boxes of {data} are read as {how}"
