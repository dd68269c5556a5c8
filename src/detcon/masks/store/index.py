"""The index of a mask store: the place of each photo's masks, searched without loading it.

One Arrow IPC file with one row a photo, sorted by the hash of its key. It is memory-mapped:
opening reads the schema, finding a key touches a few pages, and all workers share them. It is
written last, once all shards are there and were checked.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from detcon.files import copy_again, remove_abandoned, replacing, unsupported, write_whole
from detcon.masks.store.header import digest_of_keys, missing_shards, num_shards, shard_path
from detcon.masks.store.shard import ENTRY_FIELDS, StoreEntry, StoreError, read_footer

_SCHEMA = pa.schema(
    [
        pa.field("hash", pa.uint64()),
        pa.field("key", pa.large_string()),
        pa.field("shard", pa.uint32()),
        *ENTRY_FIELDS,
    ]
)


class Index:
    """An open index, written by `write_index`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        source = _opened(path)
        try:
            table = pa.ipc.open_file(source).read_all()
            [batch] = table.to_batches() if len(table) else [None]
            if batch is not None:
                if batch.schema != _SCHEMA or any(column.null_count for column in batch.columns):
                    raise ValueError("it has other columns")
                batch.validate()
                self._read(batch)
        except Exception as error:  # Arrow has many for a damaged file
            raise self._damaged() from error
        if batch is None:
            raise StoreError(
                f"the mask store {path.parent} holds no masks; none of its photos was read"
            )

    def __len__(self) -> int:
        return len(self._hashes)

    def find(self, key: str) -> int | None:
        """The row of a photo, or None if it isn't listed."""
        wanted, name = np.uint64(key_hash(key)), key.encode()
        row = int(np.searchsorted(self._hashes, wanted))
        while row < len(self) and self._hashes[row] == wanted:
            if self._key(row) == name:
                return row
            row += 1
        return None

    def missing(self, keys: Sequence[str]) -> list[str]:
        """The keys that aren't listed, found by 64-bit hashes; a million take a second or two."""
        hashes = np.fromiter(map(key_hash, keys), np.uint64, len(keys))
        rows = np.minimum(np.searchsorted(self._hashes, hashes), len(self) - 1)
        return [keys[number] for number in np.flatnonzero(self._hashes[rows] != hashes).tolist()]

    def entry(self, row: int) -> tuple[int, StoreEntry]:
        """The number of the shard that holds a row's masks, and their entry there."""
        values = {name: int(column[row]) for name, column in self._columns.items()}
        return values.pop("shard"), StoreEntry(**values)

    def keys(self, *, num_masks: int | None = None) -> list[str]:
        """All photos, or those with so many masks, sorted."""
        names = self._batch["key"]
        try:
            names.validate(full=True)  # or Arrow would follow offsets anywhere
        except pa.ArrowInvalid as error:
            raise self._damaged() from error
        if num_masks is not None:
            names = names.filter(pa.array(self._columns["num_masks"] == num_masks))
        return sorted(names.to_pylist())

    def mean_masks(self) -> float:
        """The masks of a photo, on average."""
        return float(self._columns["num_masks"].mean())

    def _damaged(self) -> StoreError:
        otherwise = "delete this file and run the command that made the store again"
        again = copy_again(self.path, otherwise)
        return StoreError(f"the index {self.path} is damaged; {again}")

    def _read(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self._hashes = batch["hash"].to_numpy(zero_copy_only=True)
        self._columns = {
            name: batch[name].to_numpy(zero_copy_only=True)
            for name in ("shard", *StoreEntry.__annotations__)
        }
        _, offsets, names = batch["key"].buffers()
        self._offsets = np.frombuffer(offsets, np.int64, len(batch) + 1)
        self._names = memoryview(names or b"")

    def _key(self, row: int) -> bytes:
        """A row's key, sliced by hand: Arrow would follow a damaged file's offsets anywhere."""
        start, stop = self._offsets[row : row + 2].tolist()
        return bytes(self._names[max(start, 0) : max(stop, 0)])


def _opened(path: Path) -> pa.NativeFile:
    """A file mapped into memory or, on a file system that can't do that, read into it."""
    with unsupported():
        return pa.memory_map(str(path))
    return pa.BufferReader(path.read_bytes())


def merge_index(folder: Path, header: dict[str, Any]) -> dict[str, str]:
    """Checks all shards, then writes the list of unreadable photos and last the index.

    Two commands that end at the same time may both do so; they write the same bytes. Returns the
    unreadable photos, each with the reason.
    """
    owner, numbers = header["fingerprint"], range(num_shards(header))
    tables = [read_footer(shard_path(folder, number), owner) for number in numbers]
    if digest_of_keys(key for rows in tables for key in rows["key"].to_pylist()) != header["keys"]:
        raise StoreError(
            f"the shards of the mask store {folder} hold other photos than its header says; run "
            f"the command that made the store again, with --check"
        )
    unreadable: dict[str, str] = {}
    for number, rows in enumerate(tables):
        failed = rows.filter(rows["reason"].is_valid())
        unreadable.update(zip(failed["key"].to_pylist(), failed["reason"].to_pylist(), strict=True))
        rows = rows.filter(rows["reason"].is_null()).drop_columns("reason")
        tables[number] = rows.append_column("shard", pa.array([number] * len(rows), pa.uint32()))
    text = json.dumps(unreadable, indent=1, ensure_ascii=False)
    write_whole(folder / "unreadable.json", text.encode())
    write_index(folder / "index.arrow", pa.concat_tables(tables))
    for place in (folder, folder / "shards"):
        remove_abandoned(place)
    return unreadable


def finish_store(folder: Path, header: dict[str, Any]) -> None:
    """Writes a missing index if all shards are there.

    The command that wrote the last shard may have been killed before it wrote the index.
    """
    missing = missing_shards(folder, header)
    if missing:
        raise StoreError(
            f"the mask store {folder} is not finished ({num_shards(header) - len(missing)} of "
            f"{num_shards(header)} shards; missing: {_listed(missing)}); run the command that "
            f"makes it again: it continues where it stopped"
        )
    merge_index(folder, header)


def write_index(path: Path, rows: pa.Table) -> None:
    """Writes an index atomically; `rows` has columns `key`, `shard` and those of `StoreEntry`."""
    keys = (key for chunk in rows["key"].chunks for key in chunk.to_pylist())  # never all at once
    hashes = np.fromiter(map(key_hash, keys), np.uint64, len(rows))
    table = rows.append_column("hash", pa.array(hashes)).sort_by("hash").select(_SCHEMA.names)
    with replacing(path) as target, pa.ipc.new_file(target, _SCHEMA) as file:
        file.write_table(table.cast(_SCHEMA).combine_chunks())


def key_hash(key: str) -> int:
    """A 64-bit hash, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


def _listed(numbers: Sequence[int]) -> str:
    """`0, 1, 2 and 61 more`."""
    more = f" and {len(numbers) - 3} more" if len(numbers) > 4 else ""
    return ", ".join(map(str, numbers[:3] if more else numbers)) + more
