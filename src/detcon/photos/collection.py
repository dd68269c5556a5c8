"""A collection of photos by key, and its keys in little memory."""

import difflib
import errno
import os
import stat
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from operator import index
from pathlib import Path
from typing import SupportsIndex, overload
from zlib import crc32

import numpy as np
from jaxtyping import Int64, UInt8

from detcon.photos.decoding import decode
from detcon.photos.errors import UnreadablePhoto
from detcon.photos.kinds import has_extension
from detcon.photos.tars import Members

_AT_ONCE = 4096  # names that are decoded together
_SOME = 256  # photos that tell a collection from another one with the same names
_PIECE = 4096  # bytes
_CODE = ("utf-8", "surrogateescape")  # names of files need not be text


@dataclass(frozen=True, eq=False)
class Photos:
    """A collection of photos, by key; holds names only, so it is cheap to hand to workers.

    Attributes:
        source: What the user called the collection: a folder, a manifest, or tars.
        root: The folder that keys are relative to.
        keys: The sorted names of the photos: posix paths relative to `root`, with extension.
            In tars, as if each were unpacked into a folder of its name.
        channels: Of the photos as they are read: 3 for RGB; see `decode`.
        members: Where the photos lie, if they lie in tars.
    """

    source: str
    root: str
    keys: Sequence[str]
    channels: int = 3
    members: Members | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys)

    def path(self, key: str) -> Path:
        """The photo's path; in a tar, the path if the tar were unpacked."""
        return Path(self.root, key)

    def read(self, key: str) -> UInt8[np.ndarray, "y x c"]:
        """Reads and decodes one photo. Raises `UnreadablePhoto`."""
        return self.decode(key, self.data(key))

    def decode(self, key: str, data: bytes, reduce: int = 1) -> UInt8[np.ndarray, "y x c"]:
        """Decodes one photo from the bytes that `data` gave; see `decode`."""
        return decode(data, str(self.path(key)), reduce, self.channels)

    def data(self, key: str) -> bytes:
        """Reads the bytes of one photo's file. Raises `UnreadablePhoto`."""
        path = self.path(key)
        try:
            return _read_file(path) if self.members is None else self._read_member(key)
        except FileNotFoundError as error:
            unknown = self._place(key) is None
            why = nearest_key(key, self.keys) if unknown else self._though_listed(key)
            raise UnreadablePhoto(f"there is no photo {path}{why}") from error
        except OSError as error:
            raise UnreadablePhoto(f"cannot read {path}: {error.strerror}") from error

    def newer_than(self, when: float) -> list[str]:
        """The photos whose file, or whose tar, was written after a time in seconds."""
        if self.members is None:
            return [key for key in self if self.written(key) > when]
        late = [_written(tar) > when for tar in self.members.tars]
        return [key for key, tar in zip(self, self.members.tar.tolist()) if late[tar]]

    def written(self, key: str) -> float:
        """When a photo's file, or its tar, was written, in seconds; 0 if there is none."""
        if self.members is None:
            return _written(os.path.join(self.root, key))
        place = self._place(key)
        return 0.0 if place is None else _written(self.members.tars[self.members.tar[place]])

    def mark(self, key: str) -> str:
        """The size of a photo's file and a checksum of its middle; "" if it can't be read."""
        place = 0 if self.members is None else self._place(key)
        if place is None:
            return ""
        try:
            path, start, size = os.path.join(self.root, key), 0, None
            if self.members is not None:
                path, start, size = self.members.span(place)
            with open(path, "rb", buffering=0, opener=_open_regular) as file:
                size = os.fstat(file.fileno()).st_size if size is None else size
                file.seek(start + max(0, size - _PIECE) // 2)
                return f"{size}-{crc32(file.read(min(size, _PIECE))):08x}"
        except OSError:
            return ""

    def marks(self) -> dict[str, str]:
        """The marks of all photos of a small collection, of up to 256 of a larger one.

        They tell two collections apart whose photos have the same names.
        """
        return {key: self.mark(key) for key in self.keys[:: max(1, -(-len(self) // _SOME))]}

    def digest(self) -> str:
        """The SHA-256 of the marks: equal content gives it, wherever the photos lie."""
        return sha256("".join(self.marks().values()).encode()).hexdigest()

    def _though_listed(self, key: str) -> str:
        """The end of a message on a photo that isn't there: what to do about it."""
        way_out = "copy it there again"
        if self.members is None and Path(self.source).is_file():
            extended = has_extension(key)
            paths = "paths are" if extended else "paths have the extension of a photo and are"
            correct = f"correct the list, whose {paths} relative to {self.root}"
            way_out = f"{way_out}, or {correct}" if extended else correct
        return f", though {self.source} lists it; {way_out}"

    def _place(self, key: str) -> int | None:
        place = bisect_left(self.keys, key)
        return place if place < len(self.keys) and self.keys[place] == key else None

    def part(self, start: int, stop: int) -> "Photos":
        """The photos `start` to `stop - 1`, with the same keys."""
        members = None if self.members is None else self.members.part(start, stop)
        return Photos(self.source, self.root, self.keys[start:stop], self.channels, members)

    def _read_member(self, key: str) -> bytes:
        place = self._place(key)
        if place is None or self.members is None:
            raise FileNotFoundError(key)
        return self.members.read(place)


class Keys(Sequence[str]):
    """A sequence of names in two arrays: 40 bytes for a name of ImageNet, under half of a list's.

    A worker gets two blocks of memory, not a million strings.
    """

    def __init__(self, names: Iterable[str]) -> None:
        text, ends = bytearray(), array("q", [0])
        for name in names:
            text += name.encode(*_CODE)
            ends.append(len(text))
        self._text = bytes(text)
        self._ends: Int64[np.ndarray, " n"] = np.array(ends)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, number: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: SupportsIndex | slice) -> str | list[str]:
        if isinstance(number, slice):
            start, stop, step = number.indices(len(self))
            return self._part(start, stop) if step == 1 else [*self._part(0, len(self))][number]
        place = index(number)
        if not -len(self) <= place < len(self):
            raise IndexError(f"there is no name {number} among {len(self)}")
        [name] = self._part(place % len(self), place % len(self) + 1)
        return name

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self._part(start, start + _AT_ONCE)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def _part(self, start: int, stop: int) -> list[str]:
        ends = self._ends[start : stop + 1].tolist()
        return [self._text[a:b].decode(*_CODE) for a, b in pairwise(ends)]


def _read_file(path: Path) -> bytes:
    with open(path, "rb", buffering=0, opener=_open_regular) as file:
        return file.read()


def _open_regular(path: str, flags: int) -> int:
    """For `open`: refuses pipes and devices, which may have no end, by an `OSError`."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(mode := os.fstat(descriptor).st_mode) or stat.S_ISDIR(mode):
        return descriptor  # `open` itself refuses a folder
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no regular file", path)


def _written(path: str) -> float:
    """When a file was written; 0 if there is none."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def nearest_key(key: str, keys: Sequence[str]) -> str:
    """The end of a message, `"; did you mean 'a/b.jpg'?"`; "" if no key is similar."""
    if len(keys) > 20_000:  # comparing with all of a million would take minutes
        middle = bisect_left(keys, key)
        keys = keys[max(0, middle - 10_000) : middle + 10_000]
    close = difflib.get_close_matches(key, keys, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
