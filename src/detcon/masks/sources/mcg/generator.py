"""The settings of MCG masks: a fast kind, and one that follows the paper."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import UInt8

from detcon.masks.masks import LATER, Masks
from detcon.masks.sources.ranges import check_ranges

_REVISION = 2  # raised with every change of the masks that the same settings give
_SHARES = ("min_area", "max_overlap", "diversity")
_LEAST = {"num": 1, "max_side": 1, "singles": 2, "pairs": 0, "triplets": 0, "quadruplets": 0}


@dataclass(frozen=True)
class MCG:
    """The best masks of a photo by multiscale combinatorial grouping; they may overlap.

    Pont-Tuset et al., "Multiscale Combinatorial Grouping" (arXiv 1503.00848), whose 16 best
    masks are DetCon's better ones: contours at several scales, their hierarchies of regions,
    combinations of regions as candidates, a score, diversification. It departs from the paper to
    be fast, and to need no data that were annotated by people:

    - contours are local changes of histograms, without a trained network or eigenvectors;
    - a fine and a coarse hierarchy share superpixels, so that there is nothing to align;
    - the score is a formula, not a forest: how clearly the candidate stands out from what is
      around it, times small powers of its area and of how well it fills its box.

    Args:
        num: The largest number of masks; small or plain photos may have fewer, but at least one.
        max_side: Photos are first shrunk to this longest side, and the map stays that small.
            None: full size, slower in proportion to the pixels.
        min_area: The smallest share of the photo that a mask covers.
        max_overlap: The largest intersection over union of two masks.
        diversity: The weight of being different from other masks against the score, from 0 to 1.
        singles: The number of single regions of each hierarchy that are considered.
        pairs, triplets, quadruplets: The same, of two, three and four neighbouring regions.
        contours: A folder of contour maps to use instead of our own, for instance a network's:
            `a/b.png` (grey, 8 or 16 bits) or `a/b.npy` for the photo `a/b.jpg`, of any resolution.
        ranker: A file of `detcon train-ranker`, whose scores count as much as the formula's.
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
    revision: ClassVar[int] = _REVISION
    kind: Literal["mcg"] = "mcg"
    contours: str | None = field(default=None, metadata=LATER)
    ranker: str | None = field(default=None, metadata=LATER)
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges(self, _SHARES, **_LEAST)

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        """Finds the masks of a photo; raises `ContourMapError` and `RankerError`."""
        from detcon.masks.sources.mcg.grouping import find_masks  # compiles

        return find_masks(self, image, key)


@dataclass(frozen=True)
class MCGFull:
    """Multiscale combinatorial grouping after the paper (arXiv 1503.00848): slow, a reference.

    At each scale the photo has superpixels and a hierarchy of its own, by the oriented watershed
    and the mean strength of contours; these are aligned with the finest superpixels and averaged.
    Candidates come from the average and from each scale, the coarsest first. Unlike in the paper,
    contours are untrained unless `contours` is given, there are no eigenvectors, and candidates
    are scored by the formula of `MCG`, or by a ranker. Needs higra: `pip install 'detcon[mcg]'`.

    Args:
        scales: By how much photos are resized, the finest scale first. The other settings are
            those of `MCG`.
    """

    num: int = 16
    max_side: int | None = None
    min_area: float = 0.005
    max_overlap: float = 0.5
    diversity: float = 0.2
    singles: int = 200
    pairs: int = 0
    triplets: int = 0
    quadruplets: int = 0
    contours: str | None = None
    ranker: str | None = None
    scales: tuple[float, ...] = (2.0, 1.0, 0.5)
    revision: ClassVar[int] = _REVISION
    kind: Literal["mcg_full"] = "mcg_full"
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges(self, _SHARES, **_LEAST)
        scales = tuple(map(float, self.scales))
        if not scales or sorted(set(scales), reverse=True) != [*scales] or not scales[-1] > 0:
            raise ValueError(
                f"MCGFull's scales are factors above 0, the finest first, got {list(self.scales)}; "
                f"the paper's are [2, 1, 0.5]"
            )
        object.__setattr__(self, "scales", scales)

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        """Finds the masks of a photo; raises what `MCG` does, and `MissingHigra`."""
        from detcon.masks.sources.mcg.grouping import find_masks  # compiles

        return find_masks(self, image, key)
