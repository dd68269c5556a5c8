"""Merging superpixels into a binary tree of regions, the most alike neighbours first.

`define_tree` is the plain definition; `build_tree` gives the same tree with the fast kernel of
`merge_kernel`, and a test compares the two.

Axes: n superpixels, e borders, t = 2 n - 1 nodes of the tree: the superpixels, then the merged
regions in the order of merging; the root is the last.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32

from detcon.masks.sources.mcg.merge_kernel import AREA_POWER, COLOUR_FLOOR, COLOUR_POWER, merge
from detcon.masks.sources.mcg.superpixels import BINS, Superpixels


class Tree(NamedTuple):
    """A hierarchy of regions.

    A node's height is the difference of the two nodes that were merged, but never less than the
    heights below; 0 at superpixels.
    """

    children: Int32[np.ndarray, "t 2"]  # the two merged nodes, the earlier first; -1 at superpixels
    parents: Int32[np.ndarray, " t"]  # the node that a node was merged into; -1 at the root
    heights: Float64[np.ndarray, " t"]


@dataclass(frozen=True, eq=False)
class Region:
    """A node of the tree: its pixels, and the mean of its pixels' soft histograms."""

    area: float
    histogram: Float64[np.ndarray, " b"]


def difference(one: Region, other: Region, mean_strength: float) -> float:
    """How much two neighbouring regions differ.

    The mean strength of contours on their border (the rule of the ultrametric contour map,
    Arbelaez et al., PAMI 2011), times two factors of ours:

    - the smaller area to the power of 0.1: specks merge first, however strong their contrast;
    - (0.085 + distance of the histograms) to the power of 3/8: an object's outline counts more
      than a line with the same colours on both sides, and parts of one pattern merge early.
    """
    channels = one.histogram.sum()  # the histogram of each channel adds up to 1
    distance = np.sqrt(np.sum((one.histogram - other.histogram) ** 2) / channels)  # 0 to sqrt(2)
    smaller = min(one.area, other.area)
    return mean_strength * smaller**AREA_POWER * (COLOUR_FLOOR + distance) ** COLOUR_POWER


def define_tree(superpixels: Superpixels, strengths: Float64[np.ndarray, " e"]) -> Tree:
    """The definition: merges the two neighbours that differ least, until one region is left.

    Slow, since it looks at all borders before each merge: for reading and for tests.
    """
    num = len(superpixels.areas)
    regions = [
        Region(float(area), histogram.astype(np.float64))
        for area, histogram in zip(superpixels.areas, superpixels.histograms, strict=True)
    ]
    borders = {  # length and summed strength of the border between two standing regions
        (int(a), int(b)): (length, strength)
        for (a, b), length, strength in zip(
            superpixels.ends, superpixels.lengths, strengths, strict=True
        )
    }
    children, parents = np.full((2 * num - 1, 2), -1), np.full(2 * num - 1, -1)
    heights = np.zeros(2 * num - 1)
    for node in range(num, 2 * num - 1):
        differences = {
            (a, b): difference(regions[a], regions[b], strength / length)
            for (a, b), (length, strength) in borders.items()
        }
        a, b = min(differences, key=differences.__getitem__)
        children[node], parents[[a, b]] = sorted((a, b)), node
        heights[node] = max(differences[a, b], heights[a], heights[b])
        area = regions[a].area + regions[b].area
        total = regions[a].area * regions[a].histogram + regions[b].area * regions[b].histogram
        regions.append(Region(area, total / area))
        borders = _renamed(borders, {a: node, b: node})
    return Tree(children.astype(np.int32), parents.astype(np.int32), heights)


def build_tree(superpixels: Superpixels, strengths: Float64[np.ndarray, " e"]) -> Tree:
    """The tree of `define_tree`, in milliseconds; `strengths` are contours summed along borders."""
    areas, histograms = superpixels.areas, superpixels.histograms
    num_channels = histograms.shape[1] // BINS
    return Tree(
        *merge(areas, histograms, superpixels.ends, superpixels.lengths, strengths, num_channels)
    )


def _renamed(
    borders: dict[tuple[int, int], tuple[float, float]], names: dict[int, int]
) -> dict[tuple[int, int], tuple[float, float]]:
    """Borders after a merge: the inner one is gone, two with the same neighbour are one."""
    found: dict[tuple[int, int], tuple[float, float]] = {}
    for (a, b), (length, strength) in borders.items():
        a, b = names.get(a, a), names.get(b, b)
        if a != b:
            pair = (min(a, b), max(a, b))
            before = found.get(pair, (0.0, 0.0))
            found[pair] = (before[0] + length, before[1] + strength)
    return found
