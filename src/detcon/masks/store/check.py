"""Checking the shards of a mask store, and finishing the store with its index."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from detcon.files import remove_abandoned, write_whole
from detcon.masks.store.header import digest_of_keys, missing_shards, num_shards, shard_paths
from detcon.masks.store.index import write_index
from detcon.masks.store.shard import StoreError, read_footer


def merge_index(folder: Path, header: dict[str, Any]) -> dict[str, str]:
    """Checks all shards, then writes the list of unreadable photos and last the index.

    Two commands that end at the same time may both do so; they write the same bytes.

    Returns:
        The unreadable photos, each with the reason.

    Raises:
        DamagedShard: If a shard isn't as it was written.
        StoreError: If the shards don't hold the photos that the header names.
    """
    tables = [read_footer(path, header["fingerprint"]) for path in shard_paths(folder, header)]
    if digest_of_keys(key for rows in tables for key in rows["key"].to_pylist()) != header["keys"]:
        raise StoreError(
            f"the shards of the mask store {folder} hold other photos than its header says; give "
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

    Raises:
        StoreError: If shards are missing.
    """
    missing = missing_shards(folder, header)
    if missing:
        raise StoreError(
            f"the mask store {folder} is not finished ({num_shards(header) - len(missing)} of "
            f"{num_shards(header)} shards; missing: {_listed(missing)}); run the command that "
            f"makes it again, and it goes on from there"
        )
    merge_index(folder, header)


def _listed(numbers: Sequence[int]) -> str:
    """`0, 1, 2 and 61 more`."""
    more = f" and {len(numbers) - 3} more" if len(numbers) > 4 else ""
    return ", ".join(map(str, numbers[:3] if more else numbers)) + more
