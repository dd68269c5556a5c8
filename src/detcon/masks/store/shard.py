"""One file of a mask store: the packed masks of a fixed range of photos.

Layout of a shard: the entries, one after another; the footer, an Arrow IPC stream with one row a
photo; 20 bytes of trailer: the footer's length (8 bytes), CRC-32 of all before the trailer (4
bytes), `DETCONM1`. A shard appears under its name only when it is complete.

An entry holds the masks of one photo in one zstd frame: the map, row by row, in unsigned integers
of 8, 16 or 32 bits, whose largest value means "no mask"; for overlapping masks the membership
table, in packed bits, pattern by pattern; the scores in float16, where there are any. Its
`StoreEntry`, a row of the index, holds what is needed to read it. All is little-endian.
"""

import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow as pa
from jaxtyping import Integer

from detcon.files import copy_again, write_whole
from detcon.masks.masks import Masks

MAGIC = b"DETCONM1"
_TRAILER = struct.Struct("<QI8s")
_WIDE = ("offset", "length")
_ZSTD = pa.Codec("zstd", compression_level=9)


@dataclass(frozen=True)
class StoreEntry:
    """The place of an entry in its shard, and how to read it."""

    offset: int  # start of the frame in the shard, in bytes
    length: int  # length of the frame, in bytes
    checksum: int  # CRC-32 of the frame
    height: int  # of the upright photo, in pixels
    width: int
    map_height: int
    map_width: int
    bits: int  # of each number of the map: 8, 16 or 32
    num_patterns: int  # rows of the membership table; 0 where masks are disjoint
    num_masks: int
    has_scores: int  # 1 or 0


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
        otherwise = (
            "run the command that made the store again with --check: only this shard's photos are "
            "done again"
        )
        again = copy_again(Path(path), otherwise)
        super().__init__(f"the shard {path} is damaged ({what}); {again}")
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
    """Writes a shard atomically, flushed to the disk.

    There is a row for every photo of the range, in the order of keys. `owner` is the store's
    fingerprint; shards of other stores are recognised by it.
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
    """Checks every byte of a shard and returns its table of rows; may raise `DamagedShard`."""
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


def pack(masks: Masks) -> tuple[StoreEntry, bytes]:
    """Compresses the masks of one photo. The offset is set when the shard is written."""
    table, scores = masks.membership, masks.scores
    narrow = _narrow(masks.patterns)
    parts = [np.ascontiguousarray(narrow).tobytes()]
    if table is not None:
        parts.append(np.packbits(table).tobytes())
    if scores is not None:
        parts.append(scores.astype("<f2").tobytes())
    frame = _ZSTD.compress(b"".join(parts), asbytes=True)
    entry = StoreEntry(
        offset=0,
        length=len(frame),
        checksum=crc32(frame),
        height=masks.size[0],
        width=masks.size[1],
        map_height=narrow.shape[0],
        map_width=narrow.shape[1],
        bits=narrow.dtype.itemsize * 8,
        num_patterns=0 if table is None else len(table),
        num_masks=masks.num_masks,
        has_scores=int(scores is not None),
    )
    return entry, frame


def unpack(entry: StoreEntry, frame: bytes) -> Masks:
    """Reads one photo's masks back; raises a `ValueError` for a damaged frame."""
    if crc32(frame) != entry.checksum:
        raise ValueError("the checksum does not match")
    num_pixels = entry.map_height * entry.map_width
    map_bytes = num_pixels * entry.bits // 8
    table_bytes = (entry.num_patterns * entry.num_masks + 7) // 8
    total = map_bytes + table_bytes + 2 * entry.num_masks * entry.has_scores
    data = _ZSTD.decompress(frame, decompressed_size=total)
    narrow = np.frombuffer(data, f"<u{entry.bits // 8}", num_pixels)
    table = scores = None
    if entry.num_patterns:
        bits = np.frombuffer(data, np.uint8, table_bytes, map_bytes)
        table = np.unpackbits(bits, count=entry.num_patterns * entry.num_masks).astype(bool)
        table = table.reshape(entry.num_patterns, entry.num_masks)
    if entry.has_scores:
        scores = np.frombuffer(data, "<f2", entry.num_masks, map_bytes + table_bytes)
        scores = scores.astype(np.float32)
    patterns = _widen(narrow).reshape(entry.map_height, entry.map_width)
    return Masks((entry.height, entry.width), patterns, table, scores)


def _narrow(ids: Integer[np.ndarray, "y x"]) -> Integer[np.ndarray, "y x"]:
    """Ids in the fewest bits whose largest value stays free to mean "no mask"."""
    largest = int(ids.max())
    for dtype in ("<u1", "<u2", "<u4"):
        if largest < np.iinfo(dtype).max:
            return np.where(ids < 0, np.iinfo(dtype).max, ids).astype(dtype)
    raise ValueError(f"mask ids must be below {2**32 - 1}, got {largest}; renumber them")


def _widen(narrow: Integer[np.ndarray, " n"]) -> Integer[np.ndarray, " n"]:
    """Signed numbers of twice the bits, with the largest value turned into -1."""
    wide = np.empty(len(narrow), f"<i{2 * narrow.dtype.itemsize}")
    # the sum wraps: the largest value becomes 0
    np.add(narrow, 1, out=wide, dtype=narrow.dtype, casting="unsafe")
    wide -= 1
    return wide
