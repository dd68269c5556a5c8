"""An index of a folder of TFRecord files: where the record of each photo is.

The index is an Arrow file, memory-mapped and searched in place, so that a million records cost a
worker nothing. It is valid while the files have the sizes and the times that they had.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pyarrow as pa

from detcon.files import write_whole
from detcon.formats.tfrecord.framing import Place

INDEX = ".detcon-index.arrow"
"""An Arrow file, and behind it the CRC-32 of all its bytes."""

_CHECKSUM = struct.Struct("<I")

_SCHEMA = pa.schema(
    [
        pa.field("hash", pa.uint64()),
        pa.field("name", pa.large_string()),
        pa.field("file", pa.uint32()),
        pa.field("offset", pa.uint64()),
        pa.field("length", pa.uint64()),
    ]
)


class Found(NamedTuple):
    """A record: the photo's name, the file's name, and where in the file it is."""

    name: str
    file: str
    place: Place


@dataclass(frozen=True, eq=False)
class RecordIndex:
    """Records by the last names of photos' paths.

    Attributes:
        files: The names of the files.
        table: A row a record, sorted by `hash`: of the last name.
    """

    files: Sequence[str]
    table: pa.Table

    def named(self, last: str) -> Iterator[Found]:
        """The records of photos whose paths end in this name."""
        if not self.table.num_rows:
            return
        hashes, wanted = self.table["hash"].chunk(0).to_numpy(), _hash(last)
        row = int(np.searchsorted(hashes, wanted))
        while row < len(hashes) and hashes[row] == wanted:
            values = {name: self.table[name][row].as_py() for name in _SCHEMA.names}
            place = Place(values["offset"], values["length"])
            yield Found(values["name"], self.files[int(values["file"])], place)
            row += 1


def open_index(
    folder: Path, files: Sequence[str], scan: Callable[[Path], Iterable[tuple[str, Place]]]
) -> RecordIndex:
    """Reads the index of a folder, or makes it.

    Args:
        folder: Where the files are.
        files: Their names.
        scan: Finds the photos and their records in a file.
    """
    state = _state(folder, files)
    table = _read(folder / INDEX, state)
    if table is None:
        table = _make(folder, files, scan).replace_schema_metadata({"state": state})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as file:
            file.write_table(table)
        data = sink.getvalue().to_pybytes()
        with suppress(OSError):  # a folder that can't be written: kept in memory
            write_whole(folder / INDEX, data + _CHECKSUM.pack(crc32(data)))
    return RecordIndex(files, table)


def _read(path: Path, state: str) -> pa.Table | None:
    """The index, if it is whole and of these files: Arrow would follow damaged offsets anywhere."""
    try:
        file = pa.memory_map(str(path)).read_buffer()
        data = file.slice(0, max(0, file.size - _CHECKSUM.size))
        if _CHECKSUM.pack(crc32(data)) != file.slice(data.size).to_pybytes():
            return None
        table = pa.ipc.open_file(data).read_all()
    except (OSError, pa.ArrowException):
        return None
    metadata = table.schema.metadata or {}
    return table if metadata.get(b"state") == state.encode() else None


def _make(
    folder: Path, files: Sequence[str], scan: Callable[[Path], Iterable[tuple[str, Place]]]
) -> pa.Table:
    names, numbers, places = [], [], []
    for number, file in enumerate(files):
        for name, place in scan(folder / file):
            names.append(name)
            numbers.append(number)
            places.append(place)
    hashes = np.array([_hash(PurePosixPath(name).name) for name in names], np.uint64)
    spots = np.array(places, np.uint64).reshape(-1, 2)
    columns = [hashes, names, np.array(numbers, np.uint32), spots[:, 0], spots[:, 1]]
    arrays = [pa.array(v, t) for v, t in zip(columns, _SCHEMA.types, strict=True)]
    return pa.table(arrays, schema=_SCHEMA).sort_by("hash").combine_chunks()


def _state(folder: Path, files: Sequence[str]) -> str:
    found = [(name, (folder / name).stat()) for name in files]
    return json.dumps([[name, stat.st_size, stat.st_mtime_ns] for name, stat in found])


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
