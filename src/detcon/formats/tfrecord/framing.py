"""TFRecord files, record by record, without TensorFlow.

A record is its length in 8 bytes, the masked CRC-32C of these, the data, the masked CRC-32C of
the data, all little-endian; a file is one record after another
(tensorflow.org/tutorials/load_data/tfrecord). CRC-32C (Castagnoli): RFC 3720, appendix B.4.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

from detcon.formats.errors import AnnotationError
from detcon.ops.compiled import compiled

_POLYNOMIAL = 0x82F63B78  # its bits reversed
_ALL = 0xFFFFFFFF
_MASK = 0xA282EAD8


def masked_crc32c(data: bytes | memoryview) -> int:
    """The checksum as TFRecord files store it: rotated, and a constant added.

    So that a checksum of data that holds checksums isn't weak (crc32c.h of TensorFlow).
    """
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17 & _ALL) + _MASK) & _ALL


def crc32c(data: bytes | memoryview) -> int:
    """The plain checksum."""
    return int(_run(np.frombuffer(data, np.uint8), _TABLE))


@compiled
def _run(data: UInt8[np.ndarray, " n"], table: Int64[np.ndarray, "256"]) -> int:
    crc: Any = 0xFFFFFFFF
    for place in range(len(data)):
        crc = (crc >> 8) ^ table[(crc ^ data[place]) & 255]
    return crc ^ 0xFFFFFFFF


def _table() -> Int64[np.ndarray, "256"]:
    values = np.arange(256)
    for _ in range(8):
        values = np.where(values & 1, values >> 1 ^ _POLYNOMIAL, values >> 1)
    return values


_TABLE = _table()


_LENGTH, _CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")
_BEFORE = _LENGTH.size + _CHECKSUM.size


class Place(NamedTuple):
    """Where the data of a record lie in their file, in bytes."""

    offset: int
    length: int


def frame(data: bytes) -> bytes:
    """A record that holds `data`."""
    length = _LENGTH.pack(len(data))
    checksums = (_CHECKSUM.pack(masked_crc32c(part)) for part in (length, data))
    return length + next(checksums) + data + next(checksums)


def map_file(path: Path) -> memoryview:
    """Maps a file into memory; only the parts that are used are read.

    Raises:
        AnnotationError: There is no such file, or it may not be read.
    """
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                return memoryview(b"")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise _unreadable(path, error) from error
    if hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)  # without it, a search for names would read all photos
    return memoryview(mapped)


def find_records(file: memoryview, path: Path) -> Iterator[Place]:
    """Finds the records of a file by their lengths, without reading their data.

    Args:
        file: Its bytes.
        path: Its name, for messages.

    Raises:
        AnnotationError: A length is damaged, or the file ends within a record.
    """
    start = 0
    while start < len(file):
        length = file[start : start + _LENGTH.size]
        checksum = file[start + _LENGTH.size : start + _BEFORE]
        if len(checksum) < _CHECKSUM.size:
            raise _damaged(path, start, "it ends within a record")
        if _CHECKSUM.unpack(checksum)[0] != masked_crc32c(length):
            raise _damaged(path, start, "there is no length of a record")
        place = Place(start + _BEFORE, _LENGTH.unpack(length)[0])
        start = place.offset + place.length + _CHECKSUM.size
        if start > len(file):
            raise _damaged(path, place.offset, "it ends within a record")
        yield place


def read_record(path: Path, place: Place) -> bytes:
    """The data of a record.

    Raises:
        AnnotationError: There is no such file, or the data aren't those that were written.
    """
    try:
        with path.open("rb") as file:
            file.seek(place.offset)
            found = file.read(place.length + _CHECKSUM.size)
    except OSError as error:
        raise _unreadable(path, error) from error
    data, checksum = found[: place.length], found[place.length :]
    if len(checksum) < _CHECKSUM.size or _CHECKSUM.unpack(checksum)[0] != masked_crc32c(data):
        raise _damaged(path, place.offset, "the checksum does not match")
    return data


def _unreadable(path: Path, error: OSError) -> AnnotationError:
    return AnnotationError(f"cannot read the records {path}: {error.strerror}")


def _damaged(path: Path, offset: int, what: str) -> AnnotationError:
    return AnnotationError(
        f"{path} is damaged at byte {offset}, or no plain TFRecord file: {what}; copy it again "
        f"(and unpack it, if it is compressed)"
    )
