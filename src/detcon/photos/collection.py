"""A collection of photos, by key."""

import difflib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from detcon.photos.decoding import decode
from detcon.photos.errors import UnreadablePhoto
from detcon.photos.tars import Members


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
        """Reads and decodes one photo.

        Raises:
            UnreadablePhoto: If the file is gone, may not be read, or can't be decoded.
        """
        return self.decode(key, self.data(key))

    def decode(self, key: str, data: bytes, reduce: int = 1) -> UInt8[np.ndarray, "y x c"]:
        """Decodes one photo from the bytes that `data` gave; see `decode`."""
        return decode(data, str(self.path(key)), reduce, self.channels)

    def data(self, key: str) -> bytes:
        """Reads the bytes of one photo's file.

        Raises:
            UnreadablePhoto: If the file is gone, or may not be read.
        """
        path = self.path(key)
        try:
            return path.read_bytes() if self.members is None else self._read_member(key)
        except FileNotFoundError as error:
            raise UnreadablePhoto(f"there is no photo {path}{self._why_not(key)}") from error
        except OSError as error:
            raise UnreadablePhoto(f"cannot read {path}: {error.strerror}") from error

    def _why_not(self, key: str) -> str:
        number = bisect_left(self.keys, key)
        if number < len(self.keys) and self.keys[number] == key:
            return f", though {self.source} has it listed; copy it there again"
        return nearest_key(key, self.keys)

    def part(self, start: int, stop: int) -> "Photos":
        """The photos `start` to `stop - 1`, with the same keys."""
        members = None if self.members is None else self.members.part(start, stop)
        return Photos(self.source, self.root, self.keys[start:stop], self.channels, members)

    def _read_member(self, key: str) -> bytes:
        assert self.members is not None, "only collections of tars come here"
        number = bisect_left(self.keys, key)
        if number == len(self.keys) or self.keys[number] != key:
            raise FileNotFoundError(key)
        return self.members.read(number)


def nearest_key(key: str, keys: Sequence[str]) -> str:
    """The end of a message, `"; did you mean 'a/b.jpg'?"`; "" if no key is similar."""
    if len(keys) > 20_000:  # comparing with all of a million would take minutes
        middle = bisect_left(keys, key)
        keys = keys[max(0, middle - 10_000) : middle + 10_000]
    close = difflib.get_close_matches(key, keys, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
