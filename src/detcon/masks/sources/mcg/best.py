"""From hierarchies to the best masks: candidates, scores, choice. Shared by both kinds of MCG."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int16

from detcon.masks.masks import Masks
from detcon.masks.sources.mcg.candidates import Candidates, find_candidates
from detcon.masks.sources.mcg.choice import choose
from detcon.masks.sources.mcg.hierarchy import Tree
from detcon.masks.sources.mcg.superpixels import Superpixels

_AREA_POWER, _FILL_POWER = 0.2, 0.15
_MOST = 0.8  # of the photo's area; larger regions would win by their outline alone

Scorer = Callable[[Candidates, tuple[int, int]], Float64[np.ndarray, " k"]]


@dataclass(frozen=True)
class Wanted:
    """Settings of the choice of masks; the fields of `detcon.masks.MCG` explain them.

    Attributes:
        nums: Singles, pairs, triplets and 4-tuples of each hierarchy.
        score: Scores candidates, 0 or more; see `score_by_formula`.
    """

    num: int
    nums: tuple[int, int, int, int]
    min_area: float
    max_overlap: float
    diversity: float
    score: Scorer


def find_best(
    superpixels: Superpixels, trees: Sequence[Tree], wanted: Wanted, size: tuple[int, int]
) -> Masks:
    """The best masks, the best one first; of a plain photo, one that covers it.

    Args:
        superpixels: What masks are made of.
        trees: Hierarchies of them.
        wanted: Which masks.
        size: Height and width of the photo.
    """
    candidates = find_candidates(superpixels, trees, wanted.nums)
    inside, worth = choose(
        superpixels,
        trees,
        candidates,
        _scores(superpixels, candidates, wanted),
        num=wanted.num,
        diversity=wanted.diversity,
        max_overlap=wanted.max_overlap,
        most=_MOST,
    )
    if not len(worth):
        return Masks.from_stack(np.ones((1, *superpixels.labels.shape), bool), np.zeros(1), size)
    membership, patterns = _patterns(inside)
    return Masks(size, patterns[superpixels.labels], membership, worth)


def score_by_formula(candidates: Candidates, size: tuple[int, int]) -> Float64[np.ndarray, " k"]:
    """How clearly a candidate stands out, times small powers of its area and its fill.

    Args:
        candidates: What is scored.
        size: Height and width of the map of superpixels.
    """
    shares = candidates.areas / (size[0] * size[1])
    fills = candidates.areas / candidates.box_areas
    return candidates.ends * shares**_AREA_POWER * fills**_FILL_POWER


def _scores(
    superpixels: Superpixels, candidates: Candidates, wanted: Wanted
) -> Float64[np.ndarray, " k"]:
    """Scores with a best of 1; -inf for regions that are too small, too large or not set off."""
    size = (superpixels.labels.shape[0], superpixels.labels.shape[1])
    shares = candidates.areas / superpixels.labels.size
    allowed = (shares >= wanted.min_area) & (shares <= _MOST) & (candidates.ends > 0)
    if not allowed.any():
        return np.full(len(allowed), -np.inf)
    scores = wanted.score(candidates, size)
    return np.where(allowed, scores / (scores[allowed].max() or 1.0), -np.inf)


def _patterns(
    inside: Bool[np.ndarray, "n m"],
) -> tuple[Bool[np.ndarray, "p m"], Int16[np.ndarray, " n"]]:
    """The distinct sets of masks, and the one of each superpixel."""
    bits = np.packbits(inside, axis=1)
    codes = bits.view(np.dtype((np.void, bits.shape[1]))).ravel()
    _, first, patterns = np.unique(codes, return_index=True, return_inverse=True)
    return inside[first], patterns.astype(np.int16)
