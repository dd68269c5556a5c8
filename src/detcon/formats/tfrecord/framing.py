"""TFRecord files, record by record, without TensorFlow.

A record is its length in 8 bytes, the length's masked CRC-32C, the data, and the data's masked
CRC-32C, all little-endian (tensorflow.org/tutorials/load_data/tfrecord).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import google_crc32c

from detcon.files import copy_again
from detcon.formats.errors import AnnotationError

_LENGTH, _CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")
_BEFORE = _LENGTH.size + _CHECKSUM.size  # bytes of a record before its data


class Place(NamedTuple):
    """Where the data of a record are in their file, in bytes."""

    offset: int
    length: int


def _checksum(data: bytes) -> bytes:
    """The CRC-32C of data, rotated and with a constant added (crc32c.h of TensorFlow)."""
    crc = google_crc32c.value(data)
    return _CHECKSUM.pack(((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def frame(data: bytes) -> bytes:
    """A record that holds `data`."""
    length = _LENGTH.pack(len(data))
    return length + _checksum(length) + data + _checksum(data)


def scan_records(path: Path) -> Iterator[tuple[Place, bytes]]:
    """All records of a file; the checksums of their data are left to `read_record`.

    Raises:
        AnnotationError: The file can't be read, a length is damaged, or the file ends within a
            record.
    """
    start = 0
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            while before := file.read(_BEFORE):
                length = before[: _LENGTH.size]
                if len(before) < _BEFORE:
                    raise _damaged(path, start, "it ends within a record")
                if before[_LENGTH.size :] != _checksum(length):
                    raise _damaged(path, start, "there is no length of a record")
                place = Place(start + _BEFORE, _LENGTH.unpack(length)[0])
                start = place.offset + place.length + _CHECKSUM.size
                if start > size:
                    raise _damaged(path, place.offset, "it ends within a record")
                yield place, file.read(place.length + _CHECKSUM.size)[: place.length]
    except OSError as error:
        raise _unreadable(path, error) from error


def read_record(path: Path, place: Place) -> bytes:
    """The data of one record.

    Raises:
        AnnotationError: The file can't be read, or the data aren't those that were written.
    """
    try:
        with path.open("rb") as file:
            file.seek(place.offset)
            found = file.read(place.length + _CHECKSUM.size)
    except OSError as error:
        raise _unreadable(path, error) from error
    data = found[: place.length]
    if found[place.length :] != _checksum(data):
        raise _damaged(path, place.offset, "the checksum does not match")
    return data


def _unreadable(path: Path, error: OSError) -> AnnotationError:
    return AnnotationError(f"cannot read the records {path}: {error.strerror}")


def _damaged(path: Path, offset: int, what: str) -> AnnotationError:
    return AnnotationError(
        f"{path} is damaged at byte {offset}, or no plain TFRecord file: {what}; "
        f"{copy_again(path)} (and unpack it, if it is compressed)"
    )
