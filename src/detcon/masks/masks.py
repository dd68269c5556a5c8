"""The masks of one photo, as every generator returns them and every store keeps them.

Axes: y x pixels of the map, k masks, p patterns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped, UInt8

LATER = {"later": True}
"""Metadata of a generator's field that was added later. Headers of stores leave it out while it has
its default, so that the fingerprints of older stores stay valid."""


@dataclass(frozen=True, eq=False)
class Masks:
    """Regions of one photo, disjoint or overlapping, at any resolution.

    Disjoint masks are one map of ids. Overlapping masks are a map of *patterns* and a table. A
    pattern is a set of masks that some pixels belong to: sixteen masks make about seventeen
    patterns a photo, so this is far smaller than a stack of sixteen full-size masks.

    >>> import numpy as np
    >>> disjoint = Masks.from_labels(np.array([[7, 7, -1], [3, 3, 3]]))
    >>> disjoint.ids.tolist(), disjoint.num_masks
    ([3, 7], 2)
    >>> disjoint.stack()[1].tolist()  # the mask with id 7
    [[True, True, False], [False, False, False]]
    >>> overlapping = Masks.from_stack(np.array([[[1, 1, 0]], [[0, 1, 1]]], bool))
    >>> overlapping.patterns.tolist(), overlapping.membership.tolist()
    ([[1, 2, 0]], [[False, True], [True, False], [True, True]])

    Attributes:
        size: Height and width of the upright photo, in pixels; the map may be smaller.
        patterns: Disjoint: each pixel's mask id, -1 = none; ids need not be contiguous.
            Overlapping: each pixel's row of `membership`.
        membership: Which masks a pixel of pattern p belongs to; None where masks are disjoint.
        scores: One score for each mask, in order of ids, where masks are ranked.
    """

    size: tuple[int, int]
    patterns: Integer[np.ndarray, "y x"]
    membership: Bool[np.ndarray, "p k"] | None = None
    scores: Float[np.ndarray, " k"] | None = None

    def __post_init__(self) -> None:
        if min(self.size) < 1 or min(self.patterns.shape) < 1:
            raise ValueError(
                f"a photo and its map have at least one pixel, got a photo of "
                f"{by(self.size)} and a map of {by(self.patterns.shape)}"
            )
        if self.membership is not None:
            low, high = int(self.patterns.min()), int(self.patterns.max())
            if low < 0 or high >= len(self.membership):
                raise ValueError(
                    f"the map names patterns {low}..{high}, but the membership table has rows "
                    f"0..{len(self.membership) - 1}"
                )
        if self.scores is not None and len(self.scores) != self.num_masks:
            raise ValueError(f"got {len(self.scores)} scores for {self.num_masks} masks")

    @classmethod
    def from_labels(
        cls, labels: Integer[np.ndarray, "y x"], size: tuple[int, int] | None = None
    ) -> "Masks":
        """Disjoint masks from a map of ids; every negative id becomes -1, none.

        `size` is the photo's height and width, where the map has another resolution.
        """
        ids = np.maximum(labels, -1) if labels.dtype.kind == "i" else labels
        y, x = labels.shape
        return cls(size or (y, x), _narrow(ids))

    @classmethod
    def from_stack(
        cls,
        stack: Bool[np.ndarray, "k y x"],
        scores: Float[np.ndarray, " k"] | None = None,
        size: tuple[int, int] | None = None,
    ) -> "Masks":
        """Masks that may overlap or be empty, from one binary map each."""
        k, y, x = stack.shape
        if k == 0:
            return cls(size or (y, x), np.zeros((y, x), np.int16), np.zeros((1, 0), bool), scores)
        membership, patterns = find_patterns(stack.reshape(k, -1))
        return cls(size or (y, x), _narrow(patterns.reshape(y, x)), membership, scores)

    @property
    def num_masks(self) -> int:
        """The number of masks, including empty ones of an overlapping set."""
        return len(self.ids) if self.membership is None else self.membership.shape[1]

    @property
    def ids(self) -> Integer[np.ndarray, " k"]:
        """The masks' numbers, ascending."""
        if self.membership is not None:
            return np.arange(self.membership.shape[1])
        found = np.unique(self.patterns)
        return found[found >= 0]

    @property
    def labels(self) -> Integer[np.ndarray, "y x"]:
        """The map of ids, at the map's own resolution; -1 where a pixel belongs to no mask.

        Raises:
            ValueError: Where masks may overlap, since a pixel then has no one id.
        """
        if self.membership is not None:
            raise ValueError(
                "these masks may overlap, so a pixel has no single label; use stack() instead"
            )
        return self.patterns

    def stack(self) -> Bool[np.ndarray, "k y x"]:
        """One binary map for each mask, in order of ids, at the map's own resolution."""
        if self.membership is None:
            return self.patterns == self.ids[:, None, None]
        return self.membership.T[:, self.patterns]

    def at_size(self, size: tuple[int, int] | None = None) -> "Masks":
        """The same masks with a map of `size`, by default the photo's (nearest, pixel centres)."""
        patterns = resize_map(self.patterns, size or self.size)
        return Masks(self.size, patterns, self.membership, self.scores)


@runtime_checkable
class MaskGenerator(Protocol):
    """A source of masks: called with a photo, returns its masks.

    A generator is a frozen, picklable dataclass. Its fields are its whole configuration: equal
    generators give equal masks, and a store records which one filled it. `key` is the photo's
    name in its collection, for sources that look masks up.
    """

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks: ...


def resize_map(values: Shaped[np.ndarray, "y x"], size: Sequence[int]) -> np.ndarray:
    """A map at another height and width: each pixel has the value nearest to its centre."""
    (y, x), (height, width) = values.shape, size
    rows = (2 * np.arange(height) + 1) * y // (2 * height)
    columns = (2 * np.arange(width) + 1) * x // (2 * width)
    return values[rows[:, None], columns]


def find_patterns(
    stack: Bool[np.ndarray, "k n"],
) -> tuple[Bool[np.ndarray, "p k"], Integer[np.ndarray, " n"]]:
    """The distinct sets of masks that n pixels or regions belong to, and which set each has."""
    codes, patterns = _distinct(_pack(stack))
    return np.unpackbits(codes, axis=1, count=len(stack)).astype(bool), patterns


def _pack(stack: Bool[np.ndarray, "k n"]) -> UInt8[np.ndarray, "bytes n"]:
    """`np.packbits` along the first axis, in a tenth of its time."""
    codes = np.zeros((-(-len(stack) // 8), stack.shape[1]), np.uint8)
    for place, mask in enumerate(stack):
        codes[place // 8] |= mask.astype(np.uint8) << (7 - place % 8)
    return codes


def _distinct(
    codes: UInt8[np.ndarray, "bytes n"],
) -> tuple[UInt8[np.ndarray, "p bytes"], Integer[np.ndarray, " n"]]:
    """The distinct columns, sorted, and which of them each column is."""
    num_bytes, num = codes.shape
    if num_bytes > 8:
        rows = np.ascontiguousarray(codes.T)
        keys = rows.view(np.dtype((np.void, num_bytes))).ravel()
        _, first, places = np.unique(keys, return_index=True, return_inverse=True)
        return rows[first], places
    padded = np.zeros((num, 8), np.uint8)  # 64-bit numbers sort ten times faster than bytes
    padded[:, :num_bytes] = codes.T
    numbers = padded.view(">u8").ravel().astype(np.uint64)
    ordered = np.sort(numbers)
    found = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    rows = found.astype(">u8").view(np.uint8).reshape(-1, 8)
    return rows[:, :num_bytes], np.searchsorted(found, numbers)


def _narrow(ids: np.ndarray) -> np.ndarray:
    """The same numbers in the narrowest of int16, int32 and int64 that holds them and -1."""
    narrowest = np.min_scalar_type(-1 - int(ids.max(initial=0)))
    return ids.astype(np.promote_types(narrowest, np.int16))


def by(size: tuple[int, ...]) -> str:
    """`3 x 9`: a size in messages."""
    return " x ".join(map(str, size))
