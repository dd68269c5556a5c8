"""COCO's segmentations from JSON: kept compactly, and turned into run-length codes.

A data set has a million of them: as Python's lists they would take gigabytes in each worker.
"""

import math
from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32, Int64
from pycocotools import mask

from detcon.formats.coco.json_file import is_whole

_RLE: Any = mask  # its stubs know one kind of argument each
_PER_PIXEL = 100  # COCO gives hundredths


@dataclass(frozen=True, eq=False)
class CocoSegmentations:
    """Polygons and run-length codes, by the number of their annotation.

    Attributes:
        numbers: x and y of the corners of all polygons, in a row, in units of `unit`.
        unit: How many units make a pixel.
        starts: Where each polygon begins in `numbers`; one more at the end.
        first: Which polygon is the first of each annotation; one more at the end.
        codes: The compressed run-length codes of annotations that have no polygons.
    """

    numbers: Int32[np.ndarray, " v"] | Float64[np.ndarray, " v"]
    unit: int
    starts: Int64[np.ndarray, " p"]
    first: Int64[np.ndarray, " n"]
    codes: dict[int, bytes]

    def encode(self, number: int, size: tuple[int, int]) -> dict[str, Any]:
        """The compressed run-length code of an annotation, of a photo of this height and width.

        Raises:
            ValueError: A compressed code isn't one of a picture of that size.
        """
        if code := self.codes.get(number):
            if num_pixels(code) != size[0] * size[1]:
                raise ValueError("a run-length code that doesn't fill the picture")
            return {"size": list(size), "counts": code}
        polygons = [
            (self.numbers[self.starts[p] : self.starts[p + 1]] / self.unit).tolist()
            for p in range(self.first[number], self.first[number + 1])
        ]
        return _RLE.merge(_RLE.frPyObjects(polygons, *size))


@dataclass
class CocoSegmentationsWriter:
    """Gathers segmentations one by one; `add` says what is wrong with one."""

    numbers: array = field(default_factory=lambda: array("d"))
    starts: array = field(default_factory=lambda: array("q", [0]))
    first: array = field(default_factory=lambda: array("q", [0]))
    codes: dict[int, bytes] = field(default_factory=dict)

    def add(self, segmentation: Any, size: tuple[int, int]) -> None:
        """Adds the segmentation of the next annotation.

        Raises:
            ValueError: What is wrong, as the end of a sentence.
        """
        if isinstance(segmentation, list):
            for polygon in segmentation:
                self.numbers.extend(_check_polygon(polygon, max(size)))
                self.starts.append(len(self.numbers))
        elif isinstance(segmentation, dict) and "counts" in segmentation:
            self.codes[len(self.first) - 1] = _compress(segmentation, size)
        else:
            raise ValueError("is neither a list of polygons nor a run-length code")
        self.first.append(len(self.starts) - 1)

    def close(self) -> CocoSegmentations:
        """All segmentations."""
        unit, numbers = 1, np.frombuffer(self.numbers, np.float64) if self.numbers else np.zeros(0)
        small = np.rint(numbers * _PER_PIXEL)
        # dividing by 100 gives the very float that was written, so nothing is lost
        exact = np.array_equal(small / _PER_PIXEL, numbers)
        if exact and np.abs(small).max(initial=0) < 1 << 31:
            unit, numbers = _PER_PIXEL, small.astype(np.int32)
        starts, first = (np.array(values, np.int64) for values in (self.starts, self.first))
        return CocoSegmentations(numbers, unit, starts, first, dict(self.codes))


def _compress(segmentation: dict[str, Any], size: tuple[int, int]) -> bytes:
    """The compressed code of a run-length code, which may be compressed already."""
    counts, given = segmentation["counts"], segmentation.get("size")
    if not isinstance(given, list) or [*given] != [*size]:
        raise ValueError(f"is a run-length code of a mask of {given} pixels, not {list(size)}")
    if isinstance(counts, str) and counts and counts.isascii():
        return counts.encode()
    runs = counts if isinstance(counts, list) else []
    if not all(is_whole(run) and run >= 0 for run in runs) or sum(runs) != size[0] * size[1]:
        raise ValueError("is a run-length code whose runs don't fill the picture")
    return _RLE.frPyObjects({"size": list(size), "counts": runs}, *size)["counts"]


def _check_polygon(polygon: Any, side: int) -> array:
    """The numbers of a polygon; each step is a loop in C, since there are fifty million of them."""
    try:
        numbers: array[float] = array("d", polygon)
    except (TypeError, OverflowError) as error:
        raise ValueError("has a polygon that is no list of numbers") from error
    if len(numbers) % 2 or len(numbers) < 6:
        raise ValueError(
            f"has a polygon of {len(numbers)} numbers; it takes x and y of at least three points"
        )
    if not math.isfinite(sum(numbers)) or min(numbers) < -side or max(numbers) > 2 * side:
        raise ValueError("has a polygon that reaches far out of the picture")
    return numbers


def num_pixels(code: bytes) -> int:
    """The sum of the runs of a compressed code, or -1 if it is none.

    pycocotools leaves pixels behind the last run undefined. Six bits a character, lowest first, of
    which the last says whether more follow; from the third on, runs are differences to the run
    before last (maskApi.c of the COCO API, rleFrString).
    """
    runs, value, shift = [], 0, 0
    for character in code:
        bits = character - 48
        if not 0 <= bits < 64:
            return -1
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits >> 4 & 1) << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
            if runs[-1] < 0:
                return -1
    return sum(runs) if not shift else -1
