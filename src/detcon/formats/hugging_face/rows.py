"""The rows of Parquet and Arrow shards: which there are, and their values, read in place."""

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
from jaxtyping import UInt8

from detcon.files import copy_again
from detcon.formats.errors import AnnotationError
from detcon.formats.reading.holdout import SPLITS, Holdout, draw_split
from detcon.formats.reading.label_files import of_photo
from detcon.photos import Photos, UnreadablePhoto, decode

MAPS = ("mask", "annotation", "label", "labels", "segmentation", "semantic_segmentation", "seg")
"""Columns that hold label maps, where they are images."""


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
        row = of_photo(self.photos, self._rows, key)
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


def open_rows(
    data: Path, split: str | None, holdout: Holdout | None = None, *, or_whole: bool = False
) -> Rows:
    """The rows of a split, or all (None); otherwise as `draw_split`. Raises `AnnotationError`."""
    shards = shards_of(data)
    features = _features(shards[0])
    images = [name for name, one in features.items() if is_image(one)]
    image = next((name for name in ("image", "img", "pixel_values") if name in images), None)
    image = image or next((name for name in images if name not in MAPS), None)
    if image is None:
        raise AnnotationError(f"{data} has no column of images, but {', '.join(features)}")
    root = data if data.is_dir() else data.parent
    listed = [row for shard in shards for row in _rows(shard, image)]
    keyed: dict[str, list[Row]] = {}
    for row in _with_keys(listed, root):
        keyed.setdefault(_split_of(Path(row.shard).relative_to(root)), []).append(row)
    chosen = [row for rows in keyed.values() for row in rows]
    if split is not None:
        chosen = draw_split(keyed, split, holdout, str(data), or_whole=or_whole)
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
        raise AnnotationError(
            f"{shard} can't be read: {what}; {copy_again(Path(shard))}"
        ) from error


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


def is_image(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.get("_type") == "Image"


def class_names(feature: Any) -> tuple[str, ...]:
    """The names of a column of classes, at any depth of it; () if there are none."""
    if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
        return tuple(map(str, feature.get("names") or ()))
    inner = feature.values() if isinstance(feature, dict) else feature
    parts = inner if isinstance(feature, dict | list) else ()
    return next((names for names in map(class_names, parts) if names), ())
