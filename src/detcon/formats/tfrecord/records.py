"""Reads the records that the official script writes: photos with Felzenszwalb-Huttenlocher masks.

    train-00000-of-02048 ...        validation-00000-of-00256 ...

Each record is a `tf.train.Example` with `image/filename` (without its folder), `image/height`,
`image/width`, `image/encoded` (a JPEG) and `image/felzenszwalb_segmentations`: an id of 8 bits for
each pixel, for one setting after another (generate_fh_masks_for_imagenet.py and
datasets/imagenet_with_fh.py of github.com/google-deepmind/detcon). Ids above 255 were wrapped
there, which nothing can undo.
"""

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8

from detcon.formats.errors import AnnotationError, NotAnnotated
from detcon.formats.segments import SegmentOptions, Segments, match_path, without
from detcon.formats.tfrecord.example import read_example
from detcon.formats.tfrecord.framing import Place, read_record, scan_records
from detcon.photos import kept_table, orientation, turn_upright

MASKS, ENCODED, NAME = "image/felzenszwalb_segmentations", "image/encoded", "image/filename"
HEIGHT, WIDTH = "image/height", "image/width"
KEY = "detcon/key"
"""The whole path of a photo in its collection, which `detcon convert` adds."""

_AGAIN = "make it with detcon convert to=tfrecord, or copy it again"
INDEX = ".detcon-index.arrow"
_INDEX_SCHEMA = pa.schema(
    {
        "hash": pa.uint32(),  # of the last part of the photo's name
        "name": pa.large_string(),
        "file": pa.string(),
        "offset": pa.uint64(),
        "length": pa.uint64(),
    }
)


@dataclass(frozen=True, eq=False)
class FhRecords:
    """A folder of records, found by the names of photos.

    Attributes:
        folder: The folder.
        index: A row for each record, sorted by `hash`; memory-mapped.
        options: Which of a photo's maps is read, by default the first, and the id of void pixels.
    """

    folder: Path
    index: pa.Table
    options: SegmentOptions = SegmentOptions()

    def place(self, key: str) -> str | None:
        """The name of the photo's record, or None. Raises what `match_path` does."""
        return match_path(key, self._named(key))

    def read(self, key: str) -> list[Segments]:
        """The regions of a photo. Raises what `maps` does, or that there are fewer maps."""
        maps, which = self.maps(key), self.options.which or 0
        if which >= len(maps):
            raise AnnotationError(
                f"the record of {key} in {self.folder} has {len(maps)} maps, numbered from 0; give "
                f"a lower which= than {which}"
            )
        ids = without(maps[which].astype(np.int16), self.options.ignore)
        return [Segments(ids, f"of {key} in {self.folder}")]

    def maps(self, key: str) -> UInt8[np.ndarray, "n y x"]:
        """The maps of a photo, one per setting, turned upright as its EXIF orientation says.

        TensorFlow doesn't turn photos, so the official maps lie as the pixels are stored.

        Raises:
            NotAnnotated: There is no record of the photo.
            AnnotationError: The record is damaged, or the key fits two photos.
        """
        found = self._named(key)
        name = match_path(key, found)
        if name is None:
            raise NotAnnotated(f"there is no record of the photo {key} in {self.folder}")
        row = found[name]
        path = self.folder / row["file"]
        data = read_record(path, Place(row["offset"], row["length"]))
        try:
            return _maps(read_example(data))
        except ValueError as error:
            raise AnnotationError(
                f"the record of {name} in {path} has no masks that can be read: {error}; {_AGAIN}"
            ) from error

    def _named(self, key: str) -> dict[str, dict[str, Any]]:
        """The rows of photos with the same last part of their names."""
        if not self.index.num_rows:
            return {}
        hashes, wanted = self.index["hash"].chunk(0).to_numpy(), np.uint32(_hash(key))
        first, end = (int(np.searchsorted(hashes, wanted, side)) for side in ("left", "right"))
        found: dict[str, dict[str, Any]] = {}
        for row in self.index.slice(first, end - first).to_pylist():
            if row["name"] in found:
                raise AnnotationError(
                    f"there are two records of {row['name']} in {self.folder}, in "
                    f"{found[row['name']]['file']} and {row['file']}; remove one of the files"
                )
            found[row["name"]] = row
        return found


def open_fh_records(folder: str | Path, options: SegmentOptions | None = None) -> FhRecords:
    """Opens the records of a folder; the first time, all files are read.

    The index is kept in the folder, or in memory where that can't be written.

    Raises:
        AnnotationError: There are no records, or a file is damaged.
    """
    root = Path(folder)
    files = sorted(path for path in root.glob("*-of-*") if path.is_file())
    if not files:
        raise AnnotationError(
            f"there are no records *-00000-of-02048 in {root}; they come from the official "
            f"generate_fh_masks_for_imagenet.py, or from detcon convert to=tfrecord"
        )
    state = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    index = kept_table(
        root / INDEX, json.dumps(state), _INDEX_SCHEMA, lambda: _index_records(files)
    )
    return FhRecords(root, index, options or SegmentOptions())


def _index_records(files: list[Path]) -> pa.Table:
    rows = []
    for path in files:
        for place, data in scan_records(path):
            try:
                example = read_example(data)
                names = example.get(KEY) or example.get(NAME)
                if MASKS not in example or not names:
                    raise ValueError(f"it has no {MASKS}, or no {NAME}")
                name = names[0].decode()
            except (ValueError, AttributeError) as error:
                raise AnnotationError(
                    f"the record at byte {place.offset} of {path} was not written by the official "
                    f"script: {error}; {_AGAIN}"
                ) from error
            rows.append((_hash(name), name, path.name, *place))
    columns = zip(*rows, strict=True) if rows else [()] * len(_INDEX_SCHEMA)
    arrays = [pa.array(c, t) for c, t in zip(columns, _INDEX_SCHEMA.types, strict=True)]
    return pa.table(arrays, schema=_INDEX_SCHEMA).sort_by("hash").combine_chunks()


def _hash(name: str) -> int:
    return crc32(PurePosixPath(name).name.encode())


def _maps(example: dict[str, list[Any]]) -> UInt8[np.ndarray, "n y x"]:
    sides = example.get(HEIGHT, []), example.get(WIDTH, [])
    if not all(len(side) == 1 and isinstance(side[0], int) and side[0] > 0 for side in sides):
        raise ValueError(f"there is no {HEIGHT} or no {WIDTH}")
    (height,), (width,) = sides
    parts = [part for part in example[MASKS] if isinstance(part, bytes)]
    ids = np.frombuffer(b"".join(parts), np.uint8)
    if not ids.size or ids.size % (height * width):
        raise ValueError(f"{ids.size} ids are no maps of {height} x {width} pixels")
    photos = [one for one in example.get(ENCODED, []) if isinstance(one, bytes)]
    turn = orientation(photos[0]) if photos else 1
    maps = np.moveaxis(ids.reshape(-1, height, width), 0, 2)
    return np.moveaxis(turn_upright(maps, turn), 2, 0)
