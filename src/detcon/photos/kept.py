"""Tables that take long to make, kept in a hidden file next to what they describe."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import pyarrow as pa

from detcon.files import write_whole

_CHECKSUM_BYTES = 4


def kept_table(path: Path, state: str, schema: pa.Schema, make: Callable[[], pa.Table]) -> pa.Table:
    """Reads a kept table, memory-mapped; makes it, and keeps it, where the file isn't valid.

    It is valid if it is whole, of this schema, and was made at the same `state`: the sizes and
    times of the files that it describes. The file is Arrow's, with the CRC-32 of its bytes behind
    it: Arrow would follow damaged offsets anywhere. A folder that can't be written is no error.
    """
    with suppress(OSError, pa.ArrowException):
        file = pa.memory_map(str(path)).read_buffer()
        data = file.slice(0, max(0, file.size - _CHECKSUM_BYTES))
        if _checksum(data) == file.slice(data.size).to_pybytes():
            table = pa.ipc.open_file(data).read_all()
            metadata = table.schema.metadata or {}
            if table.schema.equals(schema) and metadata.get(b"state") == state.encode():
                return table
    table = make().replace_schema_metadata({"state": state})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    data = sink.getvalue()
    with suppress(OSError):
        write_whole(path, data.to_pybytes() + _checksum(data), durable=False)
    return table


def _checksum(data: pa.Buffer) -> bytes:
    return crc32(data).to_bytes(_CHECKSUM_BYTES, "little")
