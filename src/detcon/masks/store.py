"""A store of masks: made once for a collection of photos, opened in milliseconds.

    header.json            what the masks are: generator, parameters, photos, format
    shards/00003.masks     the entries of a fixed range of photos (`detcon.masks.shard`)
    unreadable.json        photos that couldn't be decoded, and why
    index.arrow            one row a photo, sorted by the hash of its key; written last

The index is memory-mapped and searched in place, so that a store of a million photos opens as
fast as one of ten and is shared by all workers.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from detcon.files import write_whole
from detcon.masks.entry import Entry, unpack
from detcon.masks.header import num_shards, read_header, shard_path, shard_paths
from detcon.masks.masks import Masks
from detcon.masks.shard import (
    ENTRY_FIELDS,
    DamagedShard,
    StoreError,
    read_footer,
)
from detcon.photos import nearest_key

_INDEX = pa.schema(
    [
        pa.field("hash", pa.uint64()),
        pa.field("key", pa.large_string()),
        pa.field("shard", pa.uint32()),
        *ENTRY_FIELDS,
    ]
)


class MaskStore:
    """The masks of a collection of photos, by the photos' keys.

    Nothing is kept open but the memory-mapped index, and nothing but the folder is pickled: a
    store may be handed to any number of workers.

    Args:
        folder: What `make_masks` was told as `out`.

    Raises:
        StoreError: No such store, one that isn't finished, or one of a later format.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.header: dict[str, Any] = read_header(self.folder)
        if not (self.folder / "index.arrow").is_file():
            done = sum(path.exists() for path in shard_paths(self.folder, self.header))
            raise StoreError(
                f"the mask store {self.folder} is not finished ({done} of "
                f"{num_shards(self.header)} shards); run the command that makes it again, and it "
                f"goes on from there"
            )
        self._index = _open_index(self.folder / "index.arrow")
        self._columns = {
            name: self._index[name].chunk(0).to_numpy(zero_copy_only=True)
            for name in ("hash", "shard", *Entry.__annotations__)
        }

    def __reduce__(self) -> tuple:
        return MaskStore, (self.folder,)

    def __len__(self) -> int:
        return self._index.num_rows

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: str) -> bool:
        return self._find(key) is not None

    def __getitem__(self, key: str) -> Masks:
        """Reads one photo's masks.

        Raises:
            StoreError: If the store has none for this key (with the nearest it has).
            DamagedShard: If the masks on the disk aren't those that were written.
        """
        row = self._find(key)
        if row is None:
            raise StoreError(self._why_not(key))
        entry = Entry(**{name: int(self._columns[name][row]) for name in Entry.__annotations__})
        path = shard_path(self.folder, int(self._columns["shard"][row]))
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(entry.offset)
                return unpack(entry, file.read(entry.length))
        except FileNotFoundError as error:
            raise StoreError(
                f"the shard {path} is missing; run the command that made the store again"
            ) from error
        except ValueError as error:
            raise DamagedShard(path, f"at {key}: {error}") from error

    def keys(self) -> list[str]:
        """The photos that have masks, sorted."""
        return sorted(self._index["key"].to_pylist())

    @cached_property
    def unreadable(self) -> dict[str, str]:
        """The photos that couldn't be decoded when the masks were made, each with the reason."""
        return json.loads((self.folder / "unreadable.json").read_text())

    def _find(self, key: str) -> int | None:
        hashes, wanted = self._columns["hash"], np.uint64(key_hash(key))
        row = int(np.searchsorted(hashes, wanted))
        while row < len(hashes) and hashes[row] == wanted:
            if self._index["key"][row].as_py() == key:
                return row
            row += 1
        return None

    def _why_not(self, key: str) -> str:
        if key in self.unreadable:
            return (
                f"the mask store {self.folder} has no masks for {key}, since the photo could not "
                f"be read when they were made: {self.unreadable[key]}"
            )
        hint = nearest_key(key, self.keys()) or "; make masks of the photos you train on"
        return f"the mask store {self.folder} has no masks for {key}{hint}"


def merge_index(folder: Path, header: dict[str, Any]) -> dict[str, str]:
    """Checks all shards and writes the list of unreadable photos and the index, the latter last.

    Returns:
        The unreadable photos, each with the reason.

    Raises:
        DamagedShard: If a shard isn't as it was written.
    """
    tables, unreadable = [], {}
    for number, path in enumerate(shard_paths(folder, header)):
        rows = read_footer(path, header["fingerprint"])
        failed = rows.filter(rows["reason"].is_valid())
        unreadable.update(zip(failed["key"].to_pylist(), failed["reason"].to_pylist(), strict=True))
        rows = rows.filter(rows["reason"].is_null()).drop_columns("reason")
        tables.append(rows.append_column("shard", pa.array([number] * len(rows), pa.uint32())))
    table = pa.concat_tables(tables)
    hashes = np.array([key_hash(key) for key in table["key"].to_pylist()], np.uint64)
    table = table.append_column("hash", pa.array(hashes)).sort_by("hash").select(_INDEX.names)
    text = json.dumps(unreadable, indent=1, ensure_ascii=False)
    write_whole(folder / "unreadable.json", text.encode())
    write_whole(folder / "index.arrow", _index_bytes(table))
    for stale in [*folder.glob(".*.partial"), *(folder / "shards").glob(".*.partial")]:
        stale.unlink(missing_ok=True)
    return unreadable


def key_hash(key: str) -> int:
    """64 bits that are the same on every machine."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


def _index_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _INDEX) as file:
        file.write_table(table.cast(_INDEX).combine_chunks())
    return sink.getvalue().to_pybytes()


def _open_index(path: Path) -> pa.Table:
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except pa.ArrowInvalid as error:
        raise StoreError(
            f"the index {path} is damaged; delete this file and run the command that made the "
            f"store again"
        ) from error
    if table.num_rows == 0:
        raise StoreError(
            f"the mask store {path.parent} holds no masks; none of its photos was read"
        )
    return table
