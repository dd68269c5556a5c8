"""Regions that may be objects: nodes of trees, and neighbouring nodes joined by two to four.

A tree is walked from the root down. Each split gives two new single regions, and with each new
region come its pairs with a neighbour that stands at that moment, the triplets of a new pair and
a neighbour, the 4-tuples of a new triplet and a neighbour. Each of the four lists so begins with
what stands out most, and is cut at a number (MCG, section 6 of arXiv 1503.00848).

Axes: n superpixels, t nodes of a tree, r nodes at hand: those that splits give, the root last,
k candidates.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32

from detcon.masks.mcg.hierarchy import Tree
from detcon.masks.mcg.superpixels import Superpixels
from detcon.ops.compiled import compiled


class Candidates(NamedTuple):
    """What may be chosen.

    Attributes:
        members: The disjoint nodes that together are the candidate, counted through all trees;
            -1 where there are fewer than four.
        areas: In pixels.
        box_areas: Of the upright boxes around them, in pixels.
        ends: The height at which the first of the members is merged with something else.
    """

    members: Int32[np.ndarray, "k 4"]
    areas: Float64[np.ndarray, " k"]
    box_areas: Float64[np.ndarray, " k"]
    ends: Float64[np.ndarray, " k"]


def find_candidates(
    superpixels: Superpixels, trees: Sequence[Tree], nums: Sequence[int]
) -> Candidates:
    """Lists the candidates of all trees, none twice; the whole photo is none of them.

    Args:
        superpixels: What the trees are made of.
        trees: In the order in which they are listed.
        nums: How many singles, pairs, triplets and 4-tuples of each tree are taken at most.
    """
    limits = np.array(nums)
    seen = np.zeros(1 << int(2 * len(trees) * limits.sum() + 8).bit_length(), np.uint64)
    found, first = [], 0
    for tree in trees:
        names, owners, pairs = _at_hand(tree.children, tree.parents, limits[0] // 2)
        areas, boxes, hashes, touch = _measure_nodes(
            owners, pairs, superpixels.areas, superpixels.boxes, superpixels.ends
        )
        tuples = _list_tuples(pairs, hashes, touch, limits, seen)
        ends = np.append(tree.heights[tree.parents[names[:-1]]], np.inf)
        found.append(_measure_tuples(tuples, names + np.int32(first), areas, boxes, ends))
        first += len(tree.heights)
    return Candidates(*(np.concatenate(column) for column in zip(*found, strict=True)))


@compiled
def _at_hand(children, parents, most):
    """The nodes that the last merges, at most so many, joined or made.

    Returns:
        Their numbers in the tree [r]; which of them, as the smallest, holds a superpixel [n]; for
        each the two that it splits into [r 2], or -1.
    """
    num_nodes = len(parents)
    num = (num_nodes + 1) // 2
    cut = num_nodes - min(most, num - 1)  # nodes from here on are split
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
def _measure_nodes(owners, pairs, leaf_areas, leaf_boxes, leaf_ends):
    """Areas [r], boxes [r 4] and hashes [r] of nodes, and which ones touch [r r].

    A union of disjoint nodes has the exclusive or of their hashes.
    """
    count = len(pairs)
    areas, boxes, hashes = np.zeros(count), np.empty((count, 4)), np.zeros(count, np.uint64)
    boxes[:, :2], boxes[:, 2:] = np.inf, -np.inf
    touch = np.zeros((count, count), np.bool_)
    for leaf in range(len(owners)):
        own = owners[leaf]
        areas[own] += leaf_areas[leaf]
        hashes[own] ^= _scramble(np.uint64(leaf))
        _widen(boxes[own], leaf_boxes[leaf])
    for e in range(len(leaf_ends)):
        a, b = owners[leaf_ends[e, 0]], owners[leaf_ends[e, 1]]
        touch[a, b] = touch[b, a] = True
    for node in range(count):
        for i in range(2):
            below = pairs[node, i]
            if below >= 0:
                areas[node] += areas[below]
                hashes[node] ^= hashes[below]
                _widen(boxes[node], boxes[below])
                touch[node] |= touch[below]
                touch[:, node] |= touch[:, below]
    return areas, boxes, hashes, touch


@compiled
def _list_tuples(pairs, hashes, touch, limits, seen):
    """The nodes at hand that each candidate has [k 4]; `seen` are the hashes of candidates."""
    count = len(pairs)
    found, num = np.full((limits.sum(), 4), -1, np.int32), 0
    taken = np.zeros(4, np.int64)
    standing, num_standing = np.full(count, count - 1, np.int32), 1
    fresh, num_fresh = np.empty((len(found) + 2, 4), np.int32), 0
    _is_new(hashes[count - 1], seen)  # the whole photo
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
            stop = num_fresh
            for f in range(start, stop):
                for i in range(num_standing):
                    if taken[size] >= limits[size]:
                        break
                    other = standing[i]
                    if not _joins(fresh[f], size, other, touch):
                        continue
                    key = hashes[other]
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
def _joins(members, size, other, touch):
    """Whether a node touches one of the members, and is none of them."""
    joins = False
    for i in range(size):
        if members[i] == other:
            return False
        joins |= touch[members[i], other]
    return joins


@compiled
def _is_new(key, seen):
    """Whether a hash wasn't in the table yet, which is never full; puts it in."""
    last = np.uint64(len(seen) - 1)
    slot = key & last
    while seen[slot] != 0:
        if seen[slot] == key:
            return False
        slot = (slot + np.uint64(1)) & last
    seen[slot] = key
    return True


@compiled
def _measure_tuples(tuples, names, areas, boxes, ends):
    """The fields of candidates."""
    num = len(tuples)
    members = np.full((num, 4), -1, np.int32)
    sizes, box_areas, first_ends = np.zeros(num), np.empty(num), np.full(num, np.inf)
    box = np.empty(4)
    for k in range(num):
        box[:2], box[2:] = np.inf, -np.inf
        for i in range(4):
            node = tuples[k, i]
            if node >= 0:
                members[k, i] = names[node]
                sizes[k] += areas[node]
                first_ends[k] = min(first_ends[k], ends[node])
                _widen(box, boxes[node])
        box_areas[k] = (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
    return members, sizes, box_areas, first_ends


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
