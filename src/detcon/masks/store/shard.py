"""One file of a mask store: the entries of a fixed range of photos.

Layout: the frames of `detcon.masks.store.entry`, one after another; the footer, an Arrow IPC
stream with one row a photo; 20 bytes of trailer: the footer's length (8 bytes), CRC-32 of all
before the trailer (4 bytes), `DETCONM1`. A shard appears under its name only when it is complete.
"""

import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from zlib import crc32

import pyarrow as pa

from detcon.files import write_whole
from detcon.masks.store.entry import StoreEntry

MAGIC = b"DETCONM1"
_TRAILER = struct.Struct("<QI8s")
_WIDE = ("offset", "length")
ENTRY_FIELDS = [
    pa.field(name, pa.uint64() if name in _WIDE else pa.uint32())
    for name in StoreEntry.__annotations__
]
_FOOTER = pa.schema([pa.field("key", pa.large_string()), *ENTRY_FIELDS, ("reason", pa.string())])


class StoreError(ValueError):
    """A mask store that can't be opened, read or continued."""


class DamagedShard(StoreError):
    """A shard whose bytes differ from what was written."""

    def __init__(self, path: str | Path, what: str) -> None:
        super().__init__(
            f"the shard {path} is damaged ({what}); run the command that made the store again "
            f"with --check: only this shard's photos are done again"
        )
        self.path, self.what = path, what

    def __reduce__(self) -> tuple:
        return DamagedShard, (self.path, self.what)


@dataclass(frozen=True)
class ShardRow:
    """One photo of a shard: its packed masks, or the reason why it has none."""

    key: str
    entry: StoreEntry | None = None
    frame: bytes = b""
    reason: str | None = None


def write_shard(path: Path, rows: Sequence[ShardRow], owner: str) -> None:
    """Writes a shard to a temporary file, flushes it to the disk, and renames it.

    Args:
        path: The file to write.
        rows: One for every photo of the range, in the order of keys.
        owner: The fingerprint of the store, to recognise shards of other stores.
    """
    values, offset = [], 0
    for row in rows:
        entry = dict.fromkeys(StoreEntry.__annotations__, 0)
        if row.entry is not None:
            entry = asdict(row.entry) | {"offset": offset}
        values.append({"key": row.key, **entry, "reason": row.reason})
        offset += len(row.frame)
    schema = _FOOTER.with_metadata({"owner": owner})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_table(pa.Table.from_pylist(values, schema=schema))
    footer = sink.getvalue().to_pybytes()
    body = b"".join(row.frame for row in rows) + footer
    write_whole(path, body + _TRAILER.pack(len(footer), crc32(body), MAGIC))


def read_footer(path: Path, owner: str) -> pa.Table:
    """Checks every byte of a shard and returns its table of rows.

    Raises:
        DamagedShard: If the file is cut off or changed, or belongs to another store.
    """
    data = path.read_bytes()
    body, trailer = data[: -_TRAILER.size], data[-_TRAILER.size :]
    if len(trailer) < _TRAILER.size or not trailer.endswith(MAGIC):
        raise DamagedShard(path, "its end is missing")
    footer_length, checksum, _ = _TRAILER.unpack(trailer)
    if crc32(body) != checksum:
        raise DamagedShard(path, "its checksum does not match")
    table = pa.ipc.open_stream(body[len(body) - footer_length :]).read_all()
    if table.schema.metadata.get(b"owner") != owner.encode():
        raise DamagedShard(path, "it belongs to another store")
    return table
