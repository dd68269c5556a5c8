"""Regions that may be objects: nodes of trees, and unions of two to four neighbouring nodes.

A tree is walked from the root down. Each split gives two new regions. With each new region come
its pairs with a present neighbour, the triplets of a new pair and a neighbour, and the 4-tuples of
a new triplet and a neighbour. So each of the four lists begins with the regions that stand out
most, and is cut at a given length (MCG, section 6 of arXiv 1503.00848).

Axes: n superpixels, r kept nodes, k candidates.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32

from detcon.masks.sources.mcg.hierarchy import Tree
from detcon.masks.sources.mcg.nodes import Nodes, find_nodes
from detcon.masks.sources.mcg.superpixels import Superpixels
from detcon.ops.compiled import compiled


class Candidates(NamedTuple):
    """The regions that masks are chosen from.

    Attributes:
        members: The disjoint nodes that the candidate is the union of, numbered through all
            trees; -1 where there are fewer than four.
        areas: In pixels.
        balances: The smallest member's area, divided by the largest one's.
        boxes: First row, first column, last row, last column.
        starts: The height of the member that was made first.
        ends: The height at which the first of the members is merged with something else.
        perimeters: Length of the border, in pixel edges; the photo's edge doesn't count.
        outlines: The sum of contours along it.
    """

    members: Int32[np.ndarray, "k 4"]
    areas: Float64[np.ndarray, " k"]
    balances: Float64[np.ndarray, " k"]
    boxes: Int32[np.ndarray, "k 4"]
    starts: Float64[np.ndarray, " k"]
    ends: Float64[np.ndarray, " k"]
    perimeters: Float64[np.ndarray, " k"]
    outlines: Float64[np.ndarray, " k"]

    @property
    def box_areas(self) -> Float64[np.ndarray, " k"]:
        """Areas of the bounding boxes, in pixels."""
        heights, widths = (self.boxes[:, 2:] - self.boxes[:, :2] + 1).T
        return heights * widths.astype(float)


def find_candidates(
    superpixels: Superpixels, trees: Sequence[Tree], nums: Sequence[int]
) -> Candidates:
    """Lists the candidates of all trees without duplicates and without the whole photo.

    Args:
        superpixels: The leaves of the trees.
        trees: In the order of the list.
        nums: The largest numbers of singles, pairs, triplets and 4-tuples of each tree.
    """
    limits = np.array(nums)
    seen = np.zeros(1 << int(2 * len(trees) * limits.sum() + 8).bit_length(), np.uint64)
    contours = superpixels.strengths.mean(0)
    found, first = [], 0
    for tree in trees:
        nodes = find_nodes(superpixels, tree, contours, int(limits[0]) // 2)
        tuples = _list_tuples(nodes.pairs, nodes.hashes, nodes.lengths, limits, seen)
        found.append(_measure_tuples(tuples, first, nodes))
        first += len(tree.heights)
    return Candidates(*(np.concatenate(column) for column in zip(*found, strict=True)))


@compiled
def _list_tuples(pairs, hashes, lengths, limits, seen):
    """The kept nodes of each candidate [k 4]; `seen` holds the hashes of all candidates so far."""
    count = len(pairs)
    found, num = np.full((limits.sum(), 4), -1, np.int32), 0
    taken = np.zeros(4, np.int64)
    standing, num_standing = np.full(count, count - 1, np.int32), 1
    fresh, num_fresh = np.empty((len(found) + 2, 4), np.int32), 0
    _is_new(hashes[count - 1], seen)  # the whole photo is no candidate
    # From the root down, each node is split. `standing` are the nodes that partition the photo at
    # that moment; `fresh` the regions that this split adds: its two children, then pairs, triplets
    # and 4-tuples with them, each made of one of the size before and a standing neighbour.
    for node in range(count - 1, -1, -1):
        if pairs[node, 0] < 0:
            continue
        for i in range(num_standing):
            if standing[i] == node:
                standing[i] = pairs[node, 0]
        standing[num_standing] = pairs[node, 1]
        num_standing += 1
        fresh[:2] = -1
        fresh[0, 0], fresh[1, 0] = pairs[node, 0], pairs[node, 1]
        start, num_fresh = 0, 2
        for i in range(2):
            if taken[0] < limits[0] and _is_new(hashes[pairs[node, i]], seen):
                found[num, 0] = pairs[node, i]
                num, taken[0] = num + 1, taken[0] + 1
        for size in range(1, 4):
            stop = num_fresh  # fresh[start:stop] have `size` members
            for f in range(start, stop):
                for i in range(num_standing):
                    if taken[size] >= limits[size]:
                        break
                    other = standing[i]
                    if not _joins(fresh[f], size, other, lengths):
                        continue
                    key = hashes[other]  # a union's hash is the xor of its members' hashes
                    for j in range(size):
                        key ^= hashes[fresh[f, j]]
                    if _is_new(key, seen):
                        fresh[num_fresh] = fresh[f]
                        fresh[num_fresh, size] = other
                        found[num] = fresh[num_fresh]
                        num_fresh += 1
                        num, taken[size] = num + 1, taken[size] + 1
            start = stop
    return found[:num].copy()


@compiled
def _joins(members, size, other, lengths):
    """Whether a node touches one of the members and is not one of them."""
    joins = False
    for i in range(size):
        if members[i] == other:
            return False
        joins |= lengths[members[i], other] > 0
    return joins


@compiled
def _is_new(key, seen):
    """Whether a hash is new; adds it. An open-addressing table that is never full."""
    last = np.uint64(len(seen) - 1)
    slot = key & last
    while seen[slot] != 0:
        if seen[slot] == key:
            return False
        slot = (slot + np.uint64(1)) & last
    seen[slot] = key
    return True


def _measure_tuples(tuples: Int32[np.ndarray, "k 4"], first: int, nodes: Nodes) -> Candidates:
    """Measures candidates; `first` is the number of the tree's first node among all trees'."""
    there = tuples >= 0
    areas = np.where(there, nodes.areas[tuples], 0.0)
    perimeters = np.where(there, nodes.perimeters[tuples], 0.0).sum(1)
    outlines = np.where(there, nodes.outlines[tuples], 0.0).sum(1)
    for i in range(1, 4):
        for j in range(i):
            a, b = tuples[there[:, i], i], tuples[there[:, i], j]
            perimeters[there[:, i]] -= 2 * nodes.lengths[a, b]
            outlines[there[:, i]] -= 2 * nodes.contours[a, b]
    own = np.where(there, tuples, tuples[:, :1])  # the first one stands in for those missing
    boxes = nodes.boxes[own]
    return Candidates(
        np.where(there, nodes.names[own] + np.int32(first), np.int32(-1)),
        areas.sum(1),
        nodes.areas[own].min(1) / nodes.areas[own].max(1),
        np.concatenate([boxes[..., :2].min(1), boxes[..., 2:].max(1)], 1),
        nodes.starts[own].min(1),
        nodes.ends[own].min(1),
        perimeters,
        outlines,
    )
