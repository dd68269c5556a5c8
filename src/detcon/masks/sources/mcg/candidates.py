"""Regions that may be objects: nodes of trees, and unions of two to four neighbouring nodes.

A tree is walked from the root down. Each split gives two new regions. With each new region come
its pairs with a present neighbour, the triplets of a new pair and a neighbour, and the 4-tuples of
a new triplet and a neighbour. So each of the four lists begins with the regions that stand out
most, and is cut at a given length (MCG, section 6 of arXiv 1503.00848).

Only the nodes that the last merges of a tree made or joined are kept.

Axes: n superpixels, e borders, t nodes of a tree, r kept nodes, the root last, k candidates.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, UInt64

from detcon.masks.sources.mcg.hierarchy import Tree
from detcon.masks.sources.mcg.superpixels import Superpixels
from detcon.ops.compiled import compiled


class Nodes(NamedTuple):
    """The kept nodes, in the order of their numbers in the tree."""

    names: Int32[np.ndarray, " r"]  # numbers in the tree
    pairs: Int32[np.ndarray, "r 2"]  # rows of the two parts; -1 if made before the last merges
    starts: Float64[np.ndarray, " r"]  # the height at which a node was made; 0 for superpixels
    ends: Float64[np.ndarray, " r"]  # the height at which it is merged; infinite for the root
    areas: Float64[np.ndarray, " r"]  # in pixels
    boxes: Int32[np.ndarray, "r 4"]  # first row, first column, last row, last column
    hashes: UInt64[np.ndarray, " r"]  # of its superpixels; that of a disjoint union is the xor
    lengths: Float64[np.ndarray, "r r"]  # of the common border in pixel edges; 0 if apart
    contours: Float64[np.ndarray, "r r"]  # the sum of contours along it
    perimeters: Float64[np.ndarray, " r"]  # of all borders; the photo's edge doesn't count
    outlines: Float64[np.ndarray, " r"]  # the sum of contours along them


class Candidates(NamedTuple):
    """The regions that masks are chosen from.

    A candidate is the union of up to four disjoint nodes, its members. They are numbered through
    all trees; -1 stands for none.
    """

    members: Int32[np.ndarray, "k 4"]
    areas: Float64[np.ndarray, " k"]  # in pixels
    balances: Float64[np.ndarray, " k"]  # the smallest member's area / the largest one's
    boxes: Int32[np.ndarray, "k 4"]  # first row, first column, last row, last column
    starts: Float64[np.ndarray, " k"]  # the height of the member that was made first
    ends: Float64[np.ndarray, " k"]  # the height at which the first member is merged further
    perimeters: Float64[np.ndarray, " k"]  # in pixel edges; the photo's edge doesn't count
    outlines: Float64[np.ndarray, " k"]  # the sum of contours along the border

    @property
    def box_areas(self) -> Float64[np.ndarray, " k"]:
        """Areas of the bounding boxes, in pixels."""
        heights, widths = (self.boxes[:, 2:] - self.boxes[:, :2] + 1).T
        return heights * widths.astype(float)


def find_candidates(
    superpixels: Superpixels, trees: Sequence[Tree], nums: Sequence[int]
) -> Candidates:
    """Lists the candidates of all trees without duplicates and without the whole photo.

    `nums` are the largest numbers of singles, pairs, triplets and 4-tuples of each tree.
    """
    limits = np.array(nums)
    seen = np.zeros(1 << int(2 * len(trees) * limits.sum() + 8).bit_length(), np.uint64)
    contours = superpixels.strengths.mean(0)
    found, first = [], 0
    for tree in trees:
        nodes = _find_nodes(superpixels, tree, contours, int(limits[0]) // 2)
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


def _find_nodes(
    superpixels: Superpixels, tree: Tree, contours: Float64[np.ndarray, " e"], most: int
) -> Nodes:
    """Measures the nodes that the last merges of a tree joined or made, `most` merges at most.

    `contours` are summed along each border of superpixels.
    """
    names, owners, pairs = _kept(tree.children, tree.parents, most)
    starts, ends = tree.heights[names], np.append(tree.heights[tree.parents[names[:-1]]], np.inf)
    measured = _measure(
        owners, pairs,
        superpixels.areas, superpixels.boxes, superpixels.ends, superpixels.lengths, contours,
    )  # fmt: skip
    return Nodes(names, pairs, starts, ends, *measured)


@compiled
def _kept(children, parents, most):
    """Names of the kept nodes, the smallest one around each superpixel [n], and their pairs."""
    num_nodes = len(parents)
    num = (num_nodes + 1) // 2
    cut = num_nodes - min(most, num - 1)  # nodes from here on were made by the last merges
    places, count = np.full(num_nodes, -1, np.int32), 0
    for node in range(num_nodes):
        if node >= cut or parents[node] >= cut or node == num_nodes - 1:
            places[node] = count
            count += 1
    names, pairs = np.empty(count, np.int32), np.full((count, 2), -1, np.int32)
    owners = np.empty(num_nodes, np.int32)
    for node in range(num_nodes - 1, -1, -1):
        place = places[node]
        if place >= 0:
            owners[node], names[place] = place, node
            if node >= cut:
                pairs[place, 0] = places[children[node, 0]]
                pairs[place, 1] = places[children[node, 1]]
        else:
            owners[node] = owners[parents[node]]
    return names, owners[:num].copy(), pairs


@compiled
def _measure(owners, pairs, leaf_areas, leaf_boxes, leaf_ends, leaf_lengths, leaf_contours):
    """The fields of nodes from areas to outlines."""
    count = len(pairs)
    areas, hashes = np.zeros(count), np.zeros(count, np.uint64)
    boxes = np.empty((count, 4), np.int32)
    boxes[:, :2], boxes[:, 2:] = np.iinfo(np.int32).max, -1
    lengths, contours = np.zeros((count, count)), np.zeros((count, count))
    perimeters, outlines = np.zeros(count), np.zeros(count)
    for leaf in range(len(owners)):  # what the smallest kept nodes hold
        own = owners[leaf]
        areas[own] += leaf_areas[leaf]
        hashes[own] ^= _scramble(np.uint64(leaf))
        _widen(boxes[own], leaf_boxes[leaf])
    for e in range(len(leaf_ends)):
        a, b = owners[leaf_ends[e, 0]], owners[leaf_ends[e, 1]]
        if a != b:
            lengths[a, b] += leaf_lengths[e]
            lengths[b, a] = lengths[a, b]
            contours[a, b] += leaf_contours[e]
            contours[b, a] = contours[a, b]
            for node in (a, b):
                perimeters[node] += leaf_lengths[e]
                outlines[node] += leaf_contours[e]
    for node in range(count):  # larger nodes from their two parts, which come first
        a, b = pairs[node]
        if a < 0:
            continue
        areas[node] = areas[a] + areas[b]
        hashes[node] = hashes[a] ^ hashes[b]
        perimeters[node] = perimeters[a] + perimeters[b] - 2 * lengths[a, b]
        outlines[node] = outlines[a] + outlines[b] - 2 * contours[a, b]
        for below in (a, b):
            _widen(boxes[node], boxes[below])
            lengths[node] += lengths[below]
            contours[node] += contours[below]
        lengths[:, node], contours[:, node] = lengths[node], contours[node]
    return areas, boxes, hashes, lengths, contours, perimeters, outlines


@compiled
def _widen(box, other):
    for i in range(2):
        box[i], box[2 + i] = min(box[i], other[i]), max(box[2 + i], other[2 + i])


@compiled
def _scramble(number):
    """A hash of a number (SplitMix64), the same on every machine."""
    x = (number + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
