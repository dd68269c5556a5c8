"""MATLAB files (MAT, version 5): reads what annotations use, and writes lists and maps.

SciPy's reader is made for sound files: of damaged ones, some end the process and some take minutes.
The format: "MAT-File Format", mathworks.com/help/pdf_doc/matlab/matfile_format.pdf, level 5.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from scipy.io import savemat

from detcon.files import copy_again
from detcon.formats.errors import AnnotationError

_HEADER = 128
_WRITTEN = b"MATLAB 5.0 MAT-file, scenes of detcon".ljust(116)
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT = 1, 2
_NUMBERS = {  # how they are stored
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_CLASSES = {  # what they are
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
_COMPLEX = 0x800
_MOST_BYTES = 1 << 28  # of one variable, unpacked
_DEEPEST = 12


@dataclass(frozen=True)
class _Element:
    """A data element: its type and its bytes."""

    kind: int
    data: memoryview


def read_mat(data: bytes) -> dict[str, Any]:
    """Reads the variables of a file, by name.

    Returns:
        An array of numbers with the axes of MATLAB; a list of the values of a cell array, column
        by column; a list of dictionaries, one for each structure of a structure array; None for
        anything else, such as text.

    Raises:
        ValueError: It is no such file, or damaged.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if data[:10] == b"MATLAB 7.3":
        raise ValueError("it is a MAT file of version 7.3 (save it in MATLAB with -v7)")
    if order is None:
        raise ValueError("it is no MAT file of version 5")
    found = {}
    for element in _elements(memoryview(data)[_HEADER:], order):
        name, value = _matrix(_unpacked(element, order), order, 0)
        found[name] = value
    return found


def open_mat(path: Path) -> dict[str, Any]:
    """Reads the variables of an annotation; otherwise as `read_mat`.

    Raises:
        FileNotFoundError: There is no such file.
        AnnotationError: It can't be read.
    """
    try:
        return read_mat(path.read_bytes())
    except ValueError as error:
        raise AnnotationError(
            f"the annotation {path} can't be read: {error}; {copy_again(path)}"
        ) from error


def write_mat(values: dict[str, Any], *, compressed: bool = False) -> bytes:
    """A file of these variables, without the date that SciPy puts into its header."""
    file = io.BytesIO()
    savemat(file, values, do_compression=compressed)
    return _WRITTEN + file.getvalue()[len(_WRITTEN) :]


def _unpacked(element: _Element, order: str) -> _Element:
    if element.kind != _COMPRESSED:
        return element
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(element.data, _MOST_BYTES)
    except zlib.error as error:
        raise ValueError("a compressed variable is damaged") from error
    if not stream.eof:
        raise ValueError("a compressed variable ends early, or is too large")
    return next(_elements(memoryview(data), order), _Element(0, memoryview(b"")))


def _elements(data: memoryview, order: str) -> Iterator[_Element]:
    """The elements of a buffer, one after another, padded to 8 bytes."""
    place = 0
    while place < len(data):
        if place + 8 > len(data):
            raise ValueError("it ends early")
        kind, length = struct.unpack_from(f"{order}II", data, place)
        start, padded = place + 8, length + -length % 8
        if kind >> 16:  # a small piece: its length in the upper half, its data in the second word
            kind, length, start, padded = kind & 0xFFFF, kind >> 16, place + 4, 4
        if length > 4 == padded or start + length > len(data):
            raise ValueError("a piece reaches past the end")
        yield _Element(kind, data[start : start + length])
        place = start + (length if kind == _COMPRESSED else padded)


def _matrix(element: _Element, order: str, depth: int) -> tuple[str, Any]:
    """Name and value of a variable, or of a part of one."""
    if element.kind != _MATRIX or depth > _DEEPEST:
        raise ValueError("a variable is none, or lies too deep")
    if not element.data:
        return "", np.zeros((0, 0))
    pieces = _elements(element.data, order)
    flags, sides, name = (next(pieces, None) for _ in range(3))
    if flags is None or sides is None or name is None or len(flags.data) != 8:
        raise ValueError("a variable has no size, or no name")
    (word,) = struct.unpack_from(f"{order}I", flags.data)
    size = _numbers(sides, order).astype(np.int64).tolist()
    if len(size) < 2 or min(size) < 0:
        raise ValueError("a variable has no size")
    return bytes(name.data).decode("latin-1"), _value(pieces, word, size, order, depth)


def _value(pieces: Iterator[_Element], word: int, size: list[int], order: str, depth: int) -> Any:
    what = word & 255
    if what in _CLASSES and not word & _COMPLEX:
        piece = next(pieces, None)
        values = np.zeros(0) if piece is None else _numbers(piece, order)
        if values.size != prod(size):
            raise ValueError("a variable doesn't have as many numbers as its size says")
        with np.errstate(invalid="ignore"):
            return values.astype(_CLASSES[what]).reshape(size, order="F")
    if what == _CELL:
        return [_matrix(one, order, depth + 1)[1] for one in _next_pieces(pieces, prod(size))]
    if what == _STRUCT:
        fields = _field_names(next(pieces, None), next(pieces, None), order)
        count = len(fields) * prod(size)
        values = [_matrix(one, order, depth + 1)[1] for one in _next_pieces(pieces, count)]
        return [
            dict(zip(fields, values[start : start + len(fields)], strict=True))
            for start in range(0, count, len(fields) or 1)
        ]
    return None


def _next_pieces(pieces: Iterator[_Element], count: int) -> Iterator[_Element]:
    """The next `count` pieces; fewer is an error."""
    for _ in range(count):
        piece = next(pieces, None)
        if piece is None:
            raise ValueError("a variable has fewer parts than its size says")
        yield piece


def _field_names(length: _Element | None, names: _Element | None, order: str) -> list[str]:
    sizes = [] if length is None else _numbers(length, order).tolist()
    if names is None or len(sizes) != 1 or not 0 < sizes[0] <= 64 or len(names.data) % sizes[0]:
        raise ValueError("a structure has no names of fields")
    text, step = bytes(names.data), int(sizes[0])
    parts = (text[start : start + step] for start in range(0, len(text), step))
    return [part.partition(b"\0")[0].decode("latin-1") for part in parts]


def _numbers(element: _Element, order: str) -> Shaped[np.ndarray, " n"]:
    if element.kind not in _NUMBERS:
        raise ValueError("numbers are stored in an unknown way")
    dtype = np.dtype(order + _NUMBERS[element.kind])
    if len(element.data) % dtype.itemsize:
        raise ValueError("numbers are cut off")
    return np.frombuffer(element.data, dtype)
