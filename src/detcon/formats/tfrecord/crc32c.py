"""CRC-32C (Castagnoli), which guards TFRecord files (RFC 3720, appendix B.4)."""

from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from detcon.ops.compiled import compiled

_POLYNOMIAL = 0x82F63B78  # its bits reversed
_ALL = 0xFFFFFFFF
_MASK = 0xA282EAD8


def masked_crc32c(data: bytes | memoryview) -> int:
    """The checksum as TFRecord files store it: rotated, and a constant added.

    So that a checksum of data that holds checksums isn't weak (crc32c.h of TensorFlow).
    """
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17 & _ALL) + _MASK) & _ALL


def crc32c(data: bytes | memoryview) -> int:
    """The plain checksum."""
    return int(_run(np.frombuffer(data, np.uint8), _TABLE))


@compiled
def _run(data: UInt8[np.ndarray, " n"], table: Int64[np.ndarray, "256"]) -> int:
    crc: Any = 0xFFFFFFFF
    for place in range(len(data)):
        crc = (crc >> 8) ^ table[(crc ^ data[place]) & 255]
    return crc ^ 0xFFFFFFFF


def _table() -> Int64[np.ndarray, "256"]:
    values = np.arange(256)
    for _ in range(8):
        values = np.where(values & 1, values >> 1 ^ _POLYNOMIAL, values >> 1)
    return values


_TABLE = _table()
