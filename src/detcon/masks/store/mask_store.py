"""Reading a mask store, which opens in milliseconds.

    header.json            what the masks are: generator, parameters, photos, format
    shards/00003.masks     the entries of a fixed range of photos (`detcon.masks.store.shard`)
    unreadable.json        photos that couldn't be decoded, and why
    index.arrow            one row a photo, sorted by the hash of its key; written last

The index is memory-mapped and searched in place, so that a store of a million photos opens as
fast as one of ten and is shared by all workers.
"""

import json
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from detcon.files import copy_again
from detcon.masks.masks import Masks
from detcon.masks.store.header import read_header, shard_path
from detcon.masks.store.index import Index, finish_store
from detcon.masks.store.shard import DamagedShard, StoreError, unpack
from detcon.photos import nearest_key


class MaskStore:
    """The masks of a collection of photos, by the photos' keys.

    Only the memory-mapped index stays open, and only the folder is pickled, so a store can be
    passed to any number of workers.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import cv2, numpy as np
    >>> from detcon import Grid, make_masks
    >>> with TemporaryDirectory() as folder:
    ...     photos = Path(folder, "photos")
    ...     photos.mkdir()
    ...     _ = cv2.imwrite(str(photos / "a.png"), np.zeros((20, 30, 3), np.uint8))
    ...     out = make_masks(images=photos, out=f"{folder}/masks", generator=Grid(2), workers=1)
    ...     store = MaskStore(out)
    ...     store.keys(), store["a.png"].size, store["a.png"].num_masks
    (['a.png'], (20, 30), 4)

    Args:
        folder: The `out` of `make_masks`.

    Raises:
        StoreError: If there is no store, or it isn't finished, or has a later format.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.header: dict[str, Any] = read_header(self.folder)
        path = self.folder / "index.arrow"
        if not path.is_file():
            finish_store(self.folder, self.header)
        self._index = Index(path)

    def __reduce__(self) -> tuple:
        return MaskStore, (self.folder,)

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: str) -> bool:
        return self._index.find(key) is not None

    def __getitem__(self, key: str) -> Masks:
        """Reads one photo's masks.

        Raises:
            StoreError: If the store has none for this key; the message names the nearest key.
            DamagedShard: If the bytes on the disk differ from what was written.
        """
        row = self._index.find(key)
        if row is None:
            raise StoreError(self._why_not(key))
        shard, entry = self._index.entry(row)
        path = shard_path(self.folder, shard)
        try:
            with path.open("rb", buffering=0) as file:
                if entry.offset + entry.length > os.fstat(file.fileno()).st_size:
                    raise ValueError("the file ends before them")
                file.seek(entry.offset)
                return unpack(entry, file.read(entry.length))
        except FileNotFoundError as error:
            raise StoreError(
                f"the shard {path} is missing; run the command that made the store again"
            ) from error
        except (ValueError, TypeError, OverflowError, MemoryError, OSError) as error:
            raise DamagedShard(path, f"at {key}: {error}") from error

    def shard_of(self, key: str) -> Path | None:
        """The file that holds a photo's masks; None if there are none."""
        row = self._index.find(key)
        return None if row is None else shard_path(self.folder, self._index.entry(row)[0])

    def keys(self) -> list[str]:
        """The photos that have masks, sorted."""
        return self._index.keys()

    def empty(self) -> list[str]:
        """The photos without a single mask, sorted: there is nothing to learn from them."""
        return self._index.keys(num_masks=0)

    def single(self) -> list[str]:
        """The photos with one mask, in which no region is told from another."""
        return self._index.keys(num_masks=1)

    def mean_masks(self) -> float:
        """The masks of a photo, on average; photos without any count."""
        return self._index.mean_masks()

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of these photos that have no masks."""
        return self._index.missing(keys)

    @cached_property
    def unreadable(self) -> dict[str, str]:
        """The photos that couldn't be decoded when the masks were made, with reasons."""
        return read_unreadable(self.folder)

    def _why_not(self, key: str) -> str:
        if key in self.unreadable:
            return (
                f"the mask store {self.folder} has no masks for {key}, since the photo could not "
                f"be read when they were made: {self.unreadable[key]}"
            )
        hint = nearest_key(key, self.keys()) or "; make masks of the photos you train on"
        return f"the mask store {self.folder} has no masks for {key}{hint}"


def read_unreadable(folder: Path) -> dict[str, str]:
    """The photos of a store that couldn't be decoded, with reasons; none before it is finished.

    Raises:
        StoreError: The list is damaged.
    """
    path = folder / "unreadable.json"
    try:
        return json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:
        otherwise = "delete it and run the command that made the store again"
        raise StoreError(f"{path} is damaged; {copy_again(path, otherwise)}") from error
