"""Annotations made worse by a stated amount, to measure what matters in masks."""

from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from detcon.formats.registry import FormatName
from detcon.formats.segments import Regions
from detcon.masks.masks import LATER, Masks
from detcon.masks.sources.annotations import FromAnnotations
from detcon.masks.sources.grid import Grid
from detcon.masks.sources.ranges import check_ranges

_WAVES = 5  # frequencies along each axis, up to two periods a side


@dataclass(frozen=True)
class Displaced:
    """The masks of annotations after a smooth random displacement of each photo's map.

    Each pixel takes the mask of another place, at a distance given by a smooth random field. The
    map is mirrored at the photo's borders. Number and sizes of masks stay about the same, but
    their borders move, further with larger `amount`. Masks without a pixel left are dropped. A
    photo's field depends only on `seed` and the photo's key.

    With `rows` the masks are then cut along a grid over the photo: borders stay where they are, but
    each mask falls into parts, so that accuracy and number of masks can be told apart.

    Args:
        amount: The root mean square length of the displacement, as a share of the square root of
            the photo's area. 0 changes nothing.
        rows: Rows and columns of the grid along which masks are cut; 1 cuts nothing.
        seed: Seed of the displacements. The other settings are those of `FromAnnotations`.
    """

    folder: str
    amount: float
    seed: int = 0
    ignore: int | None = 255
    background: bool = False
    kind: Literal["displaced"] = "displaced"
    format: FormatName = field(default="png", metadata=LATER)
    split: str = field(default="train", metadata=LATER)
    regions: Regions = field(default="instances", metadata=LATER)
    crowd: bool = field(default=False, metadata=LATER)
    missing: Literal["error", "none", "whole"] = field(default="error", metadata=LATER)
    which: int | None = field(default=None, metadata=LATER)
    rows: int = field(default=1, metadata=LATER)
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges(self, amount=0, seed=0, rows=1)
        if self.amount == float("inf"):
            raise ValueError("amount of displaced must be finite, got inf")
        _ = self.annotations  # raises for settings that the format doesn't have

    @property
    def annotations(self) -> FromAnnotations:
        """The annotations before displacement."""
        names = [one.name for one in fields(FromAnnotations) if one.name != "kind"]
        return FromAnnotations(**{name: getattr(self, name) for name in names})

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        """Looks the photo's masks up, and displaces them. Raises what `FromAnnotations` does."""
        masks = self.annotations(image, key)
        height, width = masks.patterns.shape
        down, across = self.amount * np.sqrt(height * width) * self._field(key, (height, width))
        rows = np.round(np.arange(height)[:, None] + down).astype(np.int64)
        columns = np.round(np.arange(width) + across).astype(np.int64)
        moved = masks.patterns[_mirrored(rows, height), _mirrored(columns, width)]
        displaced = _without_empty(Masks(masks.size, moved, masks.membership, masks.scores))
        return displaced if self.rows == 1 else _cut(displaced, self.rows)

    def _field(self, key: str, size: tuple[int, int]) -> Float[np.ndarray, "2 y x"]:
        """Displacements down and across, of a mean square length of 1.

        A sum of cosines with random amplitudes, so that maps of any resolution move alike.
        """
        digest = int.from_bytes(sha256(key.encode()).digest()[:8], "little")
        amplitudes = np.random.default_rng([self.seed, digest]).normal(size=(2, _WAVES, _WAVES))
        vertical, horizontal = (_waves(length) for length in size)
        field = vertical @ amplitudes @ horizontal.T
        return field / np.sqrt(np.mean(np.sum(field**2, axis=0)))


def _waves(length: int) -> Float[np.ndarray, "n waves"]:
    """The slowest waves of a discrete cosine transform, the constant one first."""
    places = (np.arange(length) + 0.5) / length
    return np.cos(np.pi * places[:, None] * np.arange(_WAVES))


def _mirrored(places: Int[np.ndarray, "y x"], length: int) -> Int[np.ndarray, "y x"]:
    """Places of any distance folded into 0..length-1, the border pixels repeated."""
    places = places % (2 * length)
    return np.minimum(places, 2 * length - 1 - places)


def _cut(masks: Masks, rows: int) -> Masks:
    """The parts of masks in the cells of a grid over the map, each part a mask."""
    cells = Grid(rows)(np.empty((*masks.patterns.shape, 1), np.uint8)).patterns
    if masks.membership is None:
        parts = masks.patterns.astype(np.int64) * rows**2 + cells
        ids, numbers = np.unique(np.where(masks.patterns < 0, -1, parts), return_inverse=True)
        numbers = numbers.reshape(parts.shape) - np.count_nonzero(ids < 0)
        return Masks.from_labels(numbers, masks.size)
    stack = np.stack(
        [mask & (cells == cell) for mask in masks.stack() for cell in np.unique(cells)]
    )
    kept = stack.any(axis=(1, 2))
    scores = None if masks.scores is None else masks.scores.repeat(len(np.unique(cells)))[kept]
    return Masks.from_stack(stack[kept], scores, masks.size)


def _without_empty(masks: Masks) -> Masks:
    """Leaves out overlapping masks that no pixel belongs to; disjoint ones are never empty."""
    if masks.membership is None:
        return masks
    seen = masks.membership[np.unique(masks.patterns)].any(0)
    scores = None if masks.scores is None else masks.scores[seen]
    return Masks(masks.size, masks.patterns, masks.membership[:, seen], scores)
