"""The two kinds of MCG masks: a fast one, and one after the paper."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from detcon.masks.masks import LATER, Masks
from detcon.masks.sources.mcg.aligned import build_aligned
from detcon.masks.sources.mcg.best import Wanted, find_best
from detcon.masks.sources.mcg.contour_maps import read_contours, to_scales
from detcon.masks.sources.mcg.contours import find_contours, to_channels
from detcon.masks.sources.mcg.hierarchy import Tree, build_tree
from detcon.masks.sources.mcg.ranker import choose_score
from detcon.masks.sources.mcg.superpixels import Superpixels, find_superpixels
from detcon.photos import resize, shrink

_REVISION = 2  # raised with every change of the masks that the same settings give


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
        _check(self)

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        """Finds the masks of a photo.

        Raises:
            ContourMapError: `contours` has none of this photo, or none that can be used.
            RankerError: `ranker` can't be used.
        """
        size = (image.shape[0], image.shape[1])
        return find_best(*self.hierarchies(image, key), _wanted(self), size)

    def hierarchies(
        self, image: UInt8[np.ndarray, "y x c"], key: str = ""
    ) -> tuple[Superpixels, list[Tree]]:
        """What candidates are made of: superpixels, the fine tree and the coarse one."""
        channels = to_channels(shrink(image, self.max_side))
        if self.contours is None:
            contours = find_contours(channels)
        else:
            shape = (channels.shape[1], channels.shape[2])
            contours = to_scales(read_contours(self.contours, key, image.shape[:2], shape))
        superpixels = find_superpixels(contours, channels)
        return superpixels, [build_tree(superpixels, one) for one in superpixels.strengths]


@dataclass(frozen=True)
class MCGFull:
    """Multiscale combinatorial grouping after the paper (arXiv 1503.00848): slow, a reference.

    At each scale the photo has superpixels and a hierarchy of its own, by the oriented watershed
    and the mean strength of contours; these are aligned with the finest superpixels and averaged.
    Candidates come from the average and from each scale, the coarsest first. Beside the paper,
    contours are untrained unless `contours` is given, there are no eigenvectors, and candidates
    are scored by the formula of `MCG`, or by a ranker. Needs higra: `pip install 'detcon[mcg]'`.

    Args:
        num: As in `MCG`.
        max_side: The same.
        min_area: The same.
        max_overlap: The same.
        diversity: The same.
        singles: The same.
        pairs: The same.
        triplets: The same.
        quadruplets: The same.
        contours: The same.
        ranker: The same.
        scales: By how much photos are resized, the finest scale first.
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
        _check(self)
        scales = tuple(map(float, self.scales))
        if not scales or sorted(set(scales), reverse=True) != [*scales] or not scales[-1] > 0:
            raise ValueError(
                f"MCGFull's scales are factors above 0, the finest first, got {list(self.scales)}; "
                f"the paper's are [2, 1, 0.5]"
            )
        object.__setattr__(self, "scales", scales)

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        """Finds the masks of a photo.

        Raises:
            MissingHigra: If higra isn't installed.
            ContourMapError: `contours` has none of this photo, or none that can be used.
            RankerError: `ranker` can't be used.
        """
        size = (image.shape[0], image.shape[1])
        return find_best(*self.hierarchies(image, key), _wanted(self), size)

    def hierarchies(
        self, image: UInt8[np.ndarray, "y x c"], key: str = ""
    ) -> tuple[Superpixels, list[Tree]]:
        """What candidates are made of: superpixels, the multiscale tree, those of the scales."""
        picture = shrink(image, self.max_side)
        sizes = [
            (max(2, round(picture.shape[0] * scale)), max(2, round(picture.shape[1] * scale)))
            for scale in self.scales
        ]
        if self.contours is None:
            contours = [find_contours(to_channels(_scaled(picture, size)))[0] for size in sizes]
        else:
            found = [read_contours(self.contours, key, image.shape[:2], size) for size in sizes]
            contours = [to_scales(one)[0] for one in found]
        return build_aligned(contours, to_channels(picture))


def _check(settings: MCG | MCGFull) -> None:
    """Says which setting is out of range; makes shares floats, since 0 and 0.0 are one recipe."""
    name = type(settings).__name__
    for share in ("min_area", "max_overlap", "diversity"):
        if not 0 <= (value := getattr(settings, share)) <= 1:
            raise ValueError(f"{name}'s {share} must be from 0 to 1, got {value}")
        object.__setattr__(settings, share, float(value))
    least = {"num": 1, "max_side": 1, "singles": 2, "pairs": 0, "triplets": 0, "quadruplets": 0}
    for number, bound in least.items():
        value = getattr(settings, number)
        if value is not None and value < bound:
            raise ValueError(f"{name}'s {number} must be at least {bound}, got {value}")


def _wanted(settings: MCG | MCGFull) -> Wanted:
    return Wanted(
        num=settings.num,
        nums=(settings.singles, settings.pairs, settings.triplets, settings.quadruplets),
        min_area=settings.min_area,
        max_overlap=settings.max_overlap,
        diversity=settings.diversity,
        score=choose_score(settings.ranker),
    )


def _scaled(picture: UInt8[np.ndarray, "y x c"], size: tuple[int, int]) -> np.ndarray:
    """The picture at another size: Lanczos where it grows, as in MCG, else area averages."""
    if size == picture.shape[:2]:
        return picture
    grows = size[0] >= picture.shape[0]
    return resize(picture, (size[1], size[0]), cv2.INTER_LANCZOS4 if grows else cv2.INTER_AREA)
