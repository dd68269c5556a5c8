"""Hugging Face data sets in a folder: Parquet or Arrow shards with a column of images.

    DIR/data/train-00000-of-00002.parquet   DIR/data/validation-...     from the hub
    DIR/train/data-00000-of-00001.arrow     DIR/validation/...          by `save_to_disk`

A column of classes serves classification; a second column of images (`mask`, `annotation`,
`label`) is a map of class ids, 255 void; `objects` has `bbox` and `category`. Photos are read in
place: a row group of a Parquet file, or a memory-mapped row of an Arrow file, at a time. Other
columns aren't read. huggingface.co/docs/datasets, "Dataset features".
"""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64, UInt8
from PIL import Image

from detcon.formats.errors import AnnotationError
from detcon.formats.format import Format, LabelMaps, PhotoFiles, segments_of_labels
from detcon.formats.objects import Objects
from detcon.formats.reading.drawn import Drawing, Kept, LeftOut, header_size, keep_shapes
from detcon.formats.reading.holdout import SPLITS, Holdout, draw_split
from detcon.formats.reading.shapes import Shape
from detcon.formats.segments import VOID, SegmentOptions, SegmentSets
from detcon.notes import note
from detcon.photos import Photos, UnreadablePhoto, decode, nearest_key

_MAPS = ("mask", "annotation", "label", "labels", "segmentation", "semantic_segmentation", "seg")
_CATEGORIES = ("category", "categories", "label", "labels", "category_id", "class", "category_name")
_SURE = 0.9  # of the boxes that must fit a reading of their numbers


@dataclass(frozen=True)
class Row:
    """Where a photo lies: its shard, the group of rows in it, and the row in the group."""

    key: str
    shard: str
    group: int
    place: int


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a split, by key.

    Attributes:
        photos: A list of the keys; nothing is read by its paths.
        image: The column of images.
        features: What the data set says of its columns.
    """

    photos: Photos
    image: str
    features: Mapping[str, Any]
    _rows: Mapping[str, Row] = field(repr=False)

    def value(self, key: str, column: str) -> Any:
        """The value of a column. Raises `AnnotationError`."""
        if key not in self._rows:
            near = nearest_key(key, self.photos.keys)
            raise AnnotationError(f"there is no photo {key} in {self.photos.source}{near}")
        row = self._rows[key]
        return _group(row.shard, row.group, (column,))[column][row.place].as_py()

    def place(self, key: str) -> str:
        """The row's name in messages."""
        row = self._rows[key]
        return f"row {row.place} of group {row.group} of {row.shard}"

    def data(self, key: str, column: str) -> bytes:
        """The bytes of a picture. Raises `UnreadablePhoto`."""
        value = self.value(key, column)
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise UnreadablePhoto(
                f"{self.place(key)} has no bytes in the column '{column}'; save the data set with "
                f"its pictures embedded"
            )
        return data

    def photo(self, key: str, channels: int) -> UInt8[np.ndarray, "y x c"]:
        """Decodes a photo. Raises `UnreadablePhoto`."""
        return decode(self.data(key, self.image), self.place(key), channels=channels)


@dataclass(frozen=True, eq=False)
class HubClasses(PhotoFiles):
    """Photos with a class each."""

    photos: Photos
    names: tuple[str, ...]
    rows: Rows
    _labels: Mapping[str, int] = field(repr=False)

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]:
        """Decodes a photo. Raises `UnreadablePhoto`."""
        return self.rows.photo(key, channels)

    def label(self, key: str) -> int:
        """The class of a photo."""
        return self._labels[key]


@dataclass(frozen=True, eq=False)
class HubMaps(LabelMaps):
    """Photos with a map of class ids each, in the column `column`."""

    photos: Photos
    names: tuple[str, ...]
    rows: Rows
    column: str

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]:
        """Decodes a photo. Raises `UnreadablePhoto`."""
        return self.rows.photo(key, channels)

    def labels(self, key: str) -> UInt8[np.ndarray, "y x"]:
        """Decodes the class of each pixel. Raises `AnnotationError`."""
        return _read_map(self.rows, key, self.column)

    def label_file(self, key: str) -> Path:
        """The row, as a path for messages."""
        return Path(self.rows.place(key))


@dataclass(frozen=True, eq=False)
class HubObjects(PhotoFiles):
    """Photos with boxes of objects."""

    photos: Photos
    names: tuple[str, ...]
    rows: Rows
    _kept: Mapping[str, Kept] = field(repr=False)

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]:
        """Decodes a photo. Raises `UnreadablePhoto`."""
        return self.rows.photo(key, channels)

    def objects(self, key: str) -> Objects:
        """The objects of a photo, in the order of the row. Raises `AnnotationError`."""
        if key not in self._kept:
            raise AnnotationError(f"there is no photo {key}{nearest_key(key, self.keys)}")
        return self._kept[key].objects(masks=False)


def open_classes(
    data: str | Path, split: str, *, channels: int = 3, holdout: Holdout | None = None
) -> HubClasses:
    """Opens photos with a class each; `channels` counts only when they are decoded."""
    rows = open_rows(Path(data), split, holdout)
    column = _class_column(rows)
    values = {key: rows.value(key, column) for key in rows.photos.keys}
    names = _class_names(rows.features.get(column))
    if not names:
        names = tuple(sorted({str(value) for value in values.values()}))
        values = {key: names.index(str(value)) for key, value in values.items()}
    for key, value in values.items():
        if not isinstance(value, int) or not 0 <= value < len(names):
            raise AnnotationError(
                f"{rows.place(key)} has {value!r} as '{column}', but classes go from 0 to "
                f"{len(names) - 1}"
            )
    return HubClasses(rows.photos, names, rows, values)


def open_label_maps(data: str | Path, split: str, *, holdout: Holdout | None = None) -> HubMaps:
    """Opens photos with label maps; classes go up to the greatest id of train and val."""
    rows = open_rows(Path(data), split, holdout)
    pictures = [name for name, one in rows.features.items() if _is_image(one)]
    column = next((name for name in _MAPS if name in pictures and name != rows.image), None)
    if column is None:
        raise AnnotationError(
            f"{data} has no column of label maps: its images are {', '.join(pictures)}, and none "
            f"but '{rows.image}' is called {', '.join(_MAPS)}"
        )
    both = [open_rows(Path(data), one, holdout) for one in ("train", "val")]
    maps = (_read_map(part, key, column) for part in both for key in part.photos.keys)
    count = max(int(one[one != VOID].astype(int).max(initial=-1)) for one in maps) + 1
    if not count:
        raise AnnotationError(f"all labels of {data} are void; there is nothing to learn")
    return HubMaps(rows.photos, tuple(f"class {i}" for i in range(count)), rows, column)


def open_objects(data: str | Path, split: str, *, holdout: Holdout | None = None) -> HubObjects:
    """Opens photos with boxes. Raises `AnnotationError`."""
    rows = open_rows(Path(data), split, holdout)
    if "objects" not in rows.features:
        raise AnnotationError(f"{data} has no column 'objects', but {', '.join(rows.features)}")
    every = open_rows(Path(data), None, None)  # what boxes and classes mean is one for all splits
    found = {key: _objects(every, key) for key in every.photos.keys}
    sizes = {key: _photo_size(every, key) for key in found}
    told = _class_names(rows.features["objects"])
    labels = {label for _, one in found.values() for label in one}
    names = told or tuple(map(str, sorted(labels, key=lambda one: (isinstance(one, str), one))))
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
    for sentence in (how, *left.sentences("objects")):
        note(sentence)
    return HubObjects(rows.photos, names, rows, kept)


def open_segments(data: Path, options: SegmentOptions) -> SegmentSets:
    """Each class of the label maps as a region."""
    maps = open_label_maps(data, options.split)
    return segments_of_labels(maps, data if data.is_dir() else data.parent, options.split)


def open_rows(data: Path, split: str | None, holdout: Holdout | None) -> Rows:
    """The rows of a split, or all (None). Raises `AnnotationError`."""
    shards = shards_of(data)
    features = _features(shards[0])
    images = [name for name, one in features.items() if _is_image(one)]
    image = next((name for name in ("image", "img", "pixel_values") if name in images), None)
    image = image or next((name for name in images if name not in _MAPS), None)
    if image is None:
        raise AnnotationError(f"{data} has no column of images, but {', '.join(features)}")
    root = data if data.is_dir() else data.parent
    listed = [row for shard in shards for row in _rows(shard, image)]
    keyed: dict[str, list[Row]] = {}
    for row in _with_keys(listed, root):
        keyed.setdefault(_split_of(Path(row.shard).relative_to(root)), []).append(row)
    chosen = [row for rows in keyed.values() for row in rows]
    if split is not None:
        chosen = draw_split(keyed, split, holdout, lambda row: row.key, str(data))
    by_key = {row.key: row for row in sorted(chosen, key=lambda row: row.key)}
    return Rows(Photos(str(data), str(root), list(by_key)), image, features, by_key)


def shards_of(data: Path) -> list[Path]:
    """The Parquet and Arrow files of a folder, sorted. Raises `AnnotationError`."""
    found = [data] if data.is_file() else [*data.rglob("*.parquet"), *data.rglob("*.arrow")]
    kept = [path for path in found if not path.name.startswith((".", "cache-"))]
    if not kept:
        raise AnnotationError(f"there are no .parquet and no .arrow files in {data}")
    return sorted(kept)


@lru_cache(maxsize=4)
def _group(shard: str, group: int, columns: tuple[str, ...]) -> pa.Table:
    """Some columns of a row group; the last few are kept, since rows are read one by one."""
    with _sentence(shard):
        if shard.endswith(".parquet"):
            with pq.ParquetFile(shard, memory_map=True) as file:
                return file.read_row_group(group, columns=list(columns))
        return _arrow(shard).select(list(columns))


@lru_cache(maxsize=64)
def _arrow(shard: str) -> pa.Table:
    """An Arrow file, memory-mapped: a stream, as `datasets` writes it, or a file."""
    try:
        table = pa.ipc.open_stream(pa.memory_map(shard)).read_all()
    except pa.ArrowInvalid:
        table = pa.ipc.open_file(pa.memory_map(shard)).read_all()
    table.validate(full=True)  # a damaged offset would lead out of the file
    return table


@contextmanager
def _sentence(shard: str | Path) -> Iterator[None]:
    """Turns Arrow's errors into one that names the shard."""
    try:
        yield
    except AnnotationError:
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        what = " ".join(str(error).split())
        raise AnnotationError(f"{shard} can't be read: {what}; copy it again") from error


def _rows(shard: Path, image: str) -> Iterator[Row]:
    """The rows of a shard; their keys are the pictures' paths, "" where there are none."""
    with _sentence(shard):
        groups = pq.ParquetFile(shard).num_row_groups if shard.suffix == ".parquet" else 1
    for group in range(groups):
        with _sentence(shard):
            column = _paths(str(shard), group, image)
        for place, path in enumerate(column):
            yield Row(path or "", str(shard), group, place)


def _paths(shard: str, group: int, image: str) -> list[str | None]:
    """The path of each picture of a group, without reading the pictures."""
    if shard.endswith(".parquet"):
        with pq.ParquetFile(shard, memory_map=True) as file:
            names = {column.path for column in file.schema}
            if f"{image}.path" not in names:
                return [None] * file.metadata.row_group(group).num_rows
            column = file.read_row_group(group, columns=[f"{image}.path"])[image]
    else:
        column = _arrow(shard)[image]
    if not pa.types.is_struct(column.type) or column.type.get_field_index("path") < 0:
        return [None] * len(column)
    return [path for chunk in column.chunks for path in chunk.field("path").to_pylist()]


def _with_keys(rows: Sequence[Row], root: Path) -> list[Row]:
    """Rows with the names of their pictures as keys, or with numbers if these aren't unique."""
    keys = [row.key for row in rows]
    if len(set(keys)) == len(keys) and all(keys):
        return list(rows)
    return [
        replace(row, key=f"{Path(row.shard).relative_to(root).with_suffix('')}/{number:08d}")
        for number, row in enumerate(rows)
    ]


def _split_of(path: Path) -> str:
    words = re.split(r"[\W_\d]+", path.with_suffix("").as_posix().lower())
    return next((SPLITS[word] for word in words if word in SPLITS), "")


def _features(shard: Path) -> dict[str, Any]:
    """What is known of each column: the data set's own words, or Arrow's types."""
    with _sentence(shard):
        is_parquet = shard.suffix == ".parquet"
        schema = pq.read_schema(shard) if is_parquet else _arrow(str(shard)).schema
    types = {
        one.name: {"_type": "Image"}
        if pa.types.is_struct(one.type) and one.type.get_field_index("bytes") >= 0
        else {"dtype": str(one.type)}
        for one in schema
    }
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return types | {name: one for name, one in told.items() if name in types}
    except (KeyError, TypeError, ValueError, AttributeError):
        return types


def _is_image(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.get("_type") == "Image"


def _class_names(feature: Any) -> tuple[str, ...]:
    """The names of a column of classes, at any depth of it; () if there are none."""
    if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
        return tuple(map(str, feature.get("names") or ()))
    inner = feature.values() if isinstance(feature, dict) else feature
    parts = inner if isinstance(feature, dict | list) else ()
    return next((names for names in map(_class_names, parts) if names), ())


def _class_column(rows: Rows) -> str:
    """The column of classes: the one that has names, or else `label`."""
    named = [name for name, one in rows.features.items() if _is_class(one)]
    plain = [name for name in ("label", "labels", "class") if name in rows.features]
    found = [name for name in named if name in plain] or named or plain
    found = [name for name in found if not _is_image(rows.features[name])]
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
        raise AnnotationError(f"{place} is no picture that can be read") from error
    if ids.ndim != 2 or ids.dtype.kind not in "bu" or ids.max(initial=0) > VOID:
        raise AnnotationError(
            f"{place} has {ids.shape[2] if ids.ndim == 3 else 1} channels of {ids.dtype}; a map of "
            f"class ids has one, of 0 to 254, and 255 for void"
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
    if len(boxes) != len(labels):
        raise AnnotationError(f"{place} has {len(boxes)} boxes, but {len(labels)} classes")
    for label in labels:
        if not isinstance(label, int | str):
            raise AnnotationError(f"{place} has {label!r} as a class; it takes a number or a name")
    try:
        array = np.array(boxes, np.float64).reshape(-1, 4)
    except (TypeError, ValueError) as error:
        raise AnnotationError(f"{place} has boxes that aren't four numbers each") from error
    if len(array) != len(labels) or not np.isfinite(array).all():
        raise AnnotationError(f"{place} has boxes that aren't four finite numbers each")
    return array, labels


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
            f"bottom' in pixels: the first is {every[0].tolist()}"
        )
    return how.endswith("bottom"), f"boxes of {data} are read as {how}"


FORMAT = Format(
    label_maps=open_label_maps,
    objects=open_objects,
    segments=open_segments,
    classes=open_classes,
    options=("split",),
    draws_split=True,
)
