"""MCG masks: contours, superpixels, trees, candidates, the best of them."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float64, Int16, UInt8

from detcon.masks.masks import Masks
from detcon.masks.mcg.candidates import Candidates, find_candidates
from detcon.masks.mcg.choice import choose
from detcon.masks.mcg.contours import find_contours, to_channels
from detcon.masks.mcg.hierarchy import build_tree
from detcon.masks.mcg.superpixels import find_superpixels
from detcon.photos import shrink

_AREA_POWER, _FILL_POWER = 0.2, 0.2
_MOST = 0.8  # of the photo; larger ones win by their outline alone


@dataclass(frozen=True)
class MCG:
    """The best, possibly overlapping masks of a photo, as multiscale combinatorial grouping.

    Pont-Tuset et al., "Multiscale Combinatorial Grouping" (arXiv 1503.00848), whose 16 best
    masks are DetCon's better ones: contours at several scales, their hierarchies of regions,
    combinations of regions as candidates, a score, diversification. It departs from the paper to
    be fast, and to need no data that were annotated by people:

    - contours are local changes of histograms, without a trained network or eigenvectors;
    - a fine and a coarse hierarchy share superpixels, so that there is nothing to align;
    - the score is a formula, not a forest: how clearly the candidate stands out from what is
      around it, times small powers of its area and of how well it fills its box.

    Args:
        num: How many masks at most; small or plain photos may have fewer, and each has one.
        max_side: Photos are first shrunk to this longest side, and the map stays that small.
            None: whole; slower in proportion to the pixels.
        min_area: The least share of the photo that a mask covers.
        max_overlap: The largest intersection over union of two masks.
        diversity: What a mask's being different counts beside its score, from 0 to 1.
        singles: How many single regions of each hierarchy are considered.
        pairs: The same, of two neighbouring regions.
        triplets: The same, of three.
        quadruplets: The same, of four.
    """

    num: int = 16
    max_side: int | None = 256
    min_area: float = 0.005
    max_overlap: float = 0.5
    diversity: float = 0.2
    singles: int = 200
    pairs: int = 0
    triplets: int = 0
    quadruplets: int = 0
    kind: Literal["mcg"] = "mcg"
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for name in ("min_area", "max_overlap", "diversity"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"MCG's {name} must be from 0 to 1, got {value}")
            object.__setattr__(self, name, float(value))  # 0 and 0.0 are one recipe
        least = {"num": 1, "max_side": 1, "singles": 2, "pairs": 0, "triplets": 0, "quadruplets": 0}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise ValueError(f"MCG's {name} must be at least {bound}, got {value}")

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        size = (image.shape[0], image.shape[1])
        channels = to_channels(shrink(image, self.max_side))
        superpixels = find_superpixels(find_contours(channels), channels)
        trees = [build_tree(superpixels, strengths) for strengths in superpixels.strengths]
        nums = (self.singles, self.pairs, self.triplets, self.quadruplets)
        candidates = find_candidates(superpixels, trees, nums)
        inside, worth = choose(
            superpixels,
            trees,
            candidates,
            self._scores(candidates, superpixels.areas.sum()),
            num=self.num,
            diversity=self.diversity,
            max_overlap=self.max_overlap,
            most=_MOST,
        )
        if not len(worth):  # a plain photo
            return Masks.from_stack(
                np.ones((1, *superpixels.labels.shape), bool), np.zeros(1), size
            )
        membership, patterns = _patterns(inside)
        return Masks(size, patterns[superpixels.labels], membership, worth)

    def _scores(self, candidates: Candidates, num_pixels: float) -> Float64[np.ndarray, " k"]:
        """How good candidates are, up to 1; -inf: too small, too large or not set off at all."""
        shares = candidates.areas / num_pixels
        fills = candidates.areas / candidates.box_areas
        scores = candidates.ends * shares**_AREA_POWER * fills**_FILL_POWER
        allowed = (shares >= self.min_area) & (shares <= _MOST) & (scores > 0)
        scores[~allowed] = -np.inf
        return scores / scores.max(initial=0.0, where=allowed) if allowed.any() else scores


def _patterns(
    inside: Bool[np.ndarray, "n m"],
) -> tuple[Bool[np.ndarray, "p m"], Int16[np.ndarray, " n"]]:
    """The sets of masks that there are, and which one a superpixel has."""
    bits = np.packbits(inside, axis=1)
    codes = bits.view(np.dtype((np.void, bits.shape[1]))).ravel()
    _, first, patterns = np.unique(codes, return_index=True, return_inverse=True)
    return inside[first], patterns.astype(np.int16)
