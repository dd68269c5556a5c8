"""How well masks match the regions that people marked, measured before any pretraining.

All figures are sums over photos (`Tally`), divided at the end (`quality`). So each region has the
same weight, as in MCG's tables (arXiv 1503.00848), and not each photo.

Axes: y x pixels, k masks, t marked regions, p patterns of a map.
"""

from dataclasses import dataclass, fields

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int64, Integer

from detcon.masks.masks import Masks
from detcon.ops.labels import count_labels

TOLERANCE = 0.0075
"""Distance up to which boundaries match, as a share of the photo's diagonal (as in BSDS)."""

_GRID, _VIEW = (7, 7), (224, 224)  # the cells of a ResNet's last map, of a view of this size


@dataclass(frozen=True, eq=False)
class Truth:
    """The regions that people marked in one photo.

    A pixel of no region that isn't void is background: masks that cover it have a lower IoU.
    """

    marked: tuple[Masks, ...]  # of each person
    void: Bool[np.ndarray, "y x"] | None = None  # ignored pixels; None: there are none
    place: str = ""  # the annotation's name in messages


@dataclass(frozen=True)
class Bounds:
    """Which marked regions count, by their share of the photo's pixels.

    Very small and very large regions say little about masks. Covering counts all regions, since
    it weighs them by area.
    """

    least: float = 0.005
    most: float = 0.9


@dataclass(frozen=True)
class Tally:
    """Sums over regions, pixels, masks and photos."""

    photos: int = 0
    regions: int = 0  # marked regions within the bounds
    overlap: float = 0.0  # their best IoU with any mask, added up
    over_50: int = 0  # those of them that have a mask with an IoU of at least 0.5
    over_70: int = 0  # the same at 0.7
    labelled: int = 0  # pixels of all marked regions
    covered: float = 0.0  # the same, each region's pixels times its best IoU
    border: int = 0  # boundary pixels that people drew, summed over people
    recalled: int = 0  # those of them with a mask's boundary nearby
    drawn: int = 0  # boundary pixels of masks
    precise: int = 0  # those of them with a person's boundary nearby
    masks: int = 0
    area: float = 0.0  # the masks' shares of the photo, added up
    lost: int = 0  # masks that win no cell of a 7 x 7 grid

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Quality:
    """The figures of one or many photos; None where there was nothing to measure.

    Covering is that of Arbelaez et al. (PAMI 2011, section 3.1.2). Boundary F is the harmonic mean
    of the share of boundary pixels of masks that lie near one that a person drew, and the reverse.
    The benchmark of BSDS pairs pixels one to one; here any number may lie near the same one, so
    figures are a little higher.

    Training can't see a lost mask: it wins no cell of a 7 x 7 grid over the whole photo. Disjoint
    masks win the cells where they have the most pixels, overlapping ones those that they cover at
    least half.
    """

    average_best_overlap: float | None  # mean over regions of the best IoU with a mask (MCG's J_i)
    recall_50: float | None  # share of regions that a mask overlaps with an IoU of at least 0.5
    recall_70: float | None  # the same at 0.7
    covering: float | None  # mean over regions of the best IoU, weighted by area
    boundary_f: float | None
    masks: float | None  # a photo
    area: float | None  # mean share of the photo that a mask covers
    lost: float | None  # share of masks


def quality(tally: Tally) -> Quality:
    """The figures of a tally: its sums, divided."""
    recall, precision = _share(tally.recalled, tally.border), _share(tally.precise, tally.drawn)
    boundary_f = None
    if recall is not None:
        found = precision or 0.0
        boundary_f = 2 * recall * found / (recall + found) if recall + found else 0.0
    return Quality(
        average_best_overlap=_share(tally.overlap, tally.regions),
        recall_50=_share(tally.over_50, tally.regions),
        recall_70=_share(tally.over_70, tally.regions),
        covering=_share(tally.covered, tally.labelled),
        boundary_f=boundary_f,
        masks=_share(tally.masks, tally.photos),
        area=_share(tally.area, tally.masks),
        lost=_share(tally.lost, tally.masks),
    )


def measure(masks: Masks, truth: Truth, bounds: Bounds | None = None) -> Tally:
    """Measures the masks of one photo, of any resolution, at the size of the photo."""
    bounds = bounds or Bounds()
    for marked in truth.marked:
        if marked.size != masks.size:
            raise ValueError(
                f"the masks are of a photo of {masks.size[0]} x {masks.size[1]} pixels, but the "
                f"truth{truth.place and f' {truth.place}'} is of one of {marked.size[0]} x "
                f"{marked.size[1]}; give the truth of these photos, or make masks of the photos "
                f"that were annotated"
            )
    height, width = masks.size
    counted = np.ones(masks.size, bool) if truth.void is None else ~truth.void
    drawn = masks.at_size()
    tally = _of_masks(drawn)
    for marked in truth.marked:
        ious, sizes = overlaps(marked.at_size(), drawn, counted)
        best = ious.max(1, initial=0.0)
        share = sizes / (height * width)
        sought = best[(share >= bounds.least) & (share <= bounds.most)]
        tally += Tally(
            regions=len(sought),
            overlap=float(sought.sum()),
            over_50=int((sought >= 0.5).sum()),
            over_70=int((sought >= 0.7).sum()),
            labelled=int(sizes.sum()),
            covered=float(best @ sizes),
        )
    return tally + _boundaries(drawn, truth, counted)


def boundaries(patterns: Integer[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Pixels that differ from the one to the right, below, or below on the right.

    One pixel thick, as in the benchmark of BSDS (`seg2bmap`); the photo's edge is no boundary.
    """
    found = np.zeros(patterns.shape, bool)
    found[:, :-1] |= patterns[:, :-1] != patterns[:, 1:]
    found[:-1] |= patterns[:-1] != patterns[1:]
    found[:-1, :-1] |= patterns[:-1, :-1] != patterns[1:, 1:]
    return found


def num_lost(masks: Masks) -> int:
    """The number of masks that win no cell of a 7 x 7 grid by the hard pooling of training."""
    patterns, counts = count_labels(masks.at_size(_VIEW).patterns, _GRID)
    if masks.membership is None:
        winners = np.unique(patterns[counts.argmax(-1)])
        return masks.num_masks - int((winners >= 0).sum())
    area = counts @ masks.membership[patterns].astype(np.int64)  # [h w k]
    wins = 2 * area >= counts[0, 0].sum()
    return int((~wins.any((0, 1))).sum())


def _of_masks(masks: Masks) -> Tally:
    rows, table = _rows(masks)
    pixels = np.bincount(rows.ravel(), minlength=len(table)) @ table
    area = float(pixels.sum()) / rows.size
    return Tally(photos=1, masks=masks.num_masks, area=area, lost=num_lost(masks))


def overlaps(
    marked: Masks, masks: Masks, counted: Bool[np.ndarray, "y x"]
) -> tuple[Float[np.ndarray, "t k"], Int64[np.ndarray, " t"]]:
    """IoU of each region with each mask, and the regions' pixels; of the counted pixels alone."""
    (one, table), (other, others) = _rows(marked), _rows(masks)
    # joint[i, j]: pixels whose row of membership is i among the regions and j among the masks.
    # Intersections are sums over the rows that belong to a region and to a mask, so that no
    # region is compared with a mask pixel by pixel.
    pairs = (one.astype(np.int64) * len(others) + other)[counted]
    joint = np.bincount(pairs, minlength=len(table) * len(others)).reshape(len(table), len(others))
    both = table.T @ joint @ others
    sizes, areas = joint.sum(1) @ table, joint.sum(0) @ others
    either = sizes[:, None] + areas - both
    return both / np.maximum(either, 1), sizes


def _rows(masks: Masks) -> tuple[Int64[np.ndarray, "y x"], Int64[np.ndarray, "p k"]]:
    """Each pixel's row of a membership table, for overlapping and disjoint masks alike."""
    if masks.membership is not None:
        return masks.patterns.astype(np.int64), masks.membership.astype(np.int64)
    ids = masks.ids
    places = np.searchsorted(ids, masks.patterns) + 1  # row 0 is of no mask
    places[masks.patterns < 0] = 0
    return places, np.eye(len(ids) + 1, dtype=np.int64)[:, 1:]


def _boundaries(masks: Masks, truth: Truth, counted: Bool[np.ndarray, "y x"]) -> Tally:
    """Counts boundary pixels of masks and of people, and those with one of the other kind nearby.

    Boundaries in and next to ignored pixels don't count.
    """
    tolerance = TOLERANCE * float(np.hypot(*masks.size))
    inside = cv2.erode(counted.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    ours = boundaries(masks.patterns) & inside
    theirs = [boundaries(marked.at_size().patterns) & inside for marked in truth.marked]
    near_ours = _near(ours, tolerance)
    near_theirs = _near(np.any(theirs, axis=0), tolerance) if theirs else np.zeros_like(ours)
    return Tally(
        border=sum(int(one.sum()) for one in theirs),
        recalled=sum(int((one & near_ours).sum()) for one in theirs),
        drawn=int(ours.sum()),
        precise=int((ours & near_theirs).sum()),
    )


def _near(border: Bool[np.ndarray, "y x"], tolerance: float) -> Bool[np.ndarray, "y x"]:
    """The pixels within the tolerance of a boundary pixel."""
    if not border.any():
        return border
    away = cv2.distanceTransform((~border).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away) <= tolerance


def _share(part: int | float, whole: int | float) -> float | None:
    return part / whole if whole else None
