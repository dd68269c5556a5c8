"""Regions that may be objects: nodes of the trees, and neighbouring nodes joined by two to four.

A tree is walked from the root down. Each split gives two new single regions, and with each new
region x come the pairs of x and a neighbour that stands at that moment, the triplets of a new
pair and a neighbour, the 4-tuples of a new triplet and a neighbour. Each of the four lists is
thus ordered by how clearly its regions stand out, and is cut at a number (MCG, section 6 of
arXiv 1503.00848).

Axes: n superpixels, t nodes of a tree, g nodes of all trees, k candidates, f measures, m maps.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, Int64

from detcon.masks.mcg.hierarchy import Tree
from detcon.masks.mcg.superpixels import Superpixels
from detcon.ops.compiled import compiled


class Candidates(NamedTuple):
    """What may be chosen.

    Attributes:
        members: Up to four nodes that are disjoint and together are the candidate, counted
            through the trees; -1 where there are fewer.
        measures: See `MEASURES`.
    """

    members: Int32[np.ndarray, "k 4"]
    measures: Float64[np.ndarray, "k f"]


MEASURES = (
    "area",  # pixels
    "box_area",  # pixels
    "end",  # the least height at which a member is merged with something else
    "start",  # the greatest height within a member
    "num",  # members
    "balance",  # area of the smallest member to that of the largest
    "length",  # of the outline within the photo, in pixel edges
    "tree",  # which one it is from
    "top", "left", "bottom", "right",  # of the box, in pixels
    "outline_0", "outline_1",  # the sum of each map's contours along the outline
)


def find_candidates(
    superpixels: Superpixels, trees: Sequence[Tree], *, num_regions: int, nums: Sequence[int]
) -> Candidates:
    """Lists the candidates of all trees, none twice, the whole photo not among them.

    Args:
        superpixels: What the trees are made of.
        trees: In the order in which they are listed.
        num_regions: Into how many regions a tree is split at most.
        nums: How many singles, pairs, triplets and 4-tuples of a tree are taken at most.
    """
    limits = np.array(nums, np.int64)
    slots = np.full(1 << (4 * len(trees) * int(limits.sum()) + 64).bit_length(), 0, np.uint64)
    members, measures, offset = [], [], 0
    for number, tree in enumerate(trees):
        m, f = _list_tree(*superpixels[1:], *tree, num_regions, limits, slots)
        m = np.where(m < 0, -1, m + offset)
        f[:, 7] = number
        members.append(m.astype(np.int32))
        measures.append(f)
        offset += len(tree.heights)
    return Candidates(np.concatenate(members), np.concatenate(measures))


@compiled
def _list_tree(areas, boxes, ends, lengths, strengths, children, heights, num_regions, limits, slots):
    num, num_nodes = len(areas), len(heights)
    num_splits = min(num_regions, num) - 1
    cut = num_nodes - num_splits  # nodes from here on are split
    parents = np.full(num_nodes, -1, np.int32)
    for node in range(num, num_nodes):
        parents[children[node, 0]], parents[children[node, 1]] = node, node
    # nodes at hand: the regions that aren't split, then those that are
    top = np.full(num_nodes, -1, np.int32)
    names = np.empty(2 * num_splits + 1, np.int32)
    count = 0
    for node in range(num_nodes):
        if node >= cut or node == num_nodes - 1 or parents[node] >= cut:
            top[node] = count
            names[count] = node
            count += 1
    owners = np.empty(num_nodes, np.int32)
    for node in range(num_nodes - 1, -1, -1):
        if top[node] >= 0:
            owners[node] = top[node]
        else:
            owners[node] = owners[parents[node]]
    # areas, boxes, hashes of nodes
    num_maps = len(strengths)
    area, box = np.zeros(count), np.empty((count, 4))
    box[:, :2], box[:, 2:] = 1 << 30, -1
    hashes = np.zeros(count, np.uint64)
    shared = np.zeros((1 + num_maps, count, count), np.float32)
    around = np.zeros((1 + num_maps, count))
    for leaf in range(num):
        own = owners[leaf]
        area[own] += areas[leaf]
        hashes[own] ^= _scramble(np.uint64(leaf + 1))
        for i in range(2):
            box[own, i] = min(box[own, i], boxes[leaf, i])
            box[own, 2 + i] = max(box[own, 2 + i], boxes[leaf, 2 + i])
    for e in range(len(ends)):
        a, b = owners[ends[e, 0]], owners[ends[e, 1]]
        if a != b:
            for m in range(1 + num_maps):
                value = lengths[e] if m == 0 else strengths[m - 1, e]
                shared[m, a, b] += value
                shared[m, b, a] += value
                around[m, a] += value
                around[m, b] += value
    for c in range(count):
        if names[c] >= cut and names[c] >= num:
            a, b = top[children[names[c], 0]], top[children[names[c], 1]]
            area[c] = area[a] + area[b]
            hashes[c] = hashes[a] ^ hashes[b]
            for i in range(2):
                box[c, i] = min(box[a, i], box[b, i])
                box[c, 2 + i] = max(box[a, 2 + i], box[b, 2 + i])
            for m in range(1 + num_maps):
                around[m, c] = around[m, a] + around[m, b] - 2 * shared[m, a, b]
                for d in range(count):
                    shared[m, c, d] = shared[m, a, d] + shared[m, b, d]
                for d in range(count):
                    shared[m, d, c] = shared[m, c, d]
    most = limits.sum()
    found, num_found = np.full((most, 4), -1, np.int32), 0
    taken = np.zeros(4, np.int64)
    standing, num_standing = np.empty(count, np.int32), 1
    standing[0] = count - 1
    tuple_ = np.empty(4, np.int32)
    for split in range(count - 1, -1, -1):
        if names[split] < cut or names[split] < num:
            continue
        pair = (top[children[names[split], 0]], top[children[names[split], 1]])
        for i in range(num_standing):
            if standing[i] == split:
                standing[i] = pair[0]
        standing[num_standing] = pair[1]
        num_standing += 1
        for i in range(2):
            x, sibling = pair[i], pair[1 - i]
            tuple_[0] = x
            num_found = _take(found, num_found, taken, limits, tuple_, 1, hashes, slots)
            if (taken >= limits)[1:].all():
                continue
            for j in range(num_standing):
                n = standing[j]
                if n == x or n == sibling or shared[0, x, n] == 0:
                    continue
                tuple_[1] = n
                num_found = _take(found, num_found, taken, limits, tuple_, 2, hashes, slots)
                if (taken >= limits)[2:].all():
                    continue
                for k in range(num_standing):
                    m = standing[k]
                    if m == x or m == n or m == sibling:
                        continue
                    if shared[0, x, m] == 0 and shared[0, n, m] == 0:
                        continue
                    tuple_[2] = m
                    num_found = _take(found, num_found, taken, limits, tuple_, 3, hashes, slots)
                    if taken[3] >= limits[3]:
                        continue
                    for q in range(num_standing):
                        o = standing[q]
                        if o == x or o == n or o == m or o == sibling:
                            continue
                        if shared[0, x, o] + shared[0, n, o] + shared[0, m, o] == 0:
                            continue
                        tuple_[3] = o
                        num_found = _take(
                            found, num_found, taken, limits, tuple_, 4, hashes, slots
                        )
    measures = np.zeros((num_found, 12 + num_maps))
    for k in range(num_found):
        row, size = measures[k], 0
        low, high = 1e30, 0.0
        row[2], row[8], row[9], row[10], row[11] = 1e30, 1e30, 1e30, -1, -1
        for i in range(4):
            a = found[k, i]
            if a < 0:
                break
            size += 1
            row[0] += area[a]
            low, high = min(low, area[a]), max(high, area[a])
            row[2] = min(row[2], heights[parents[names[a]]])
            row[3] = max(row[3], heights[names[a]])
            row[8], row[9] = min(row[8], box[a, 0]), min(row[9], box[a, 1])
            row[10], row[11] = max(row[10], box[a, 2]), max(row[11], box[a, 3])
            row[6] += around[0, a]
            for m in range(num_maps):
                row[12 + m] += around[1 + m, a]
            for j in range(i):
                b = found[k, j]
                row[6] -= 2 * shared[0, a, b]
                for m in range(num_maps):
                    row[12 + m] -= 2 * shared[1 + m, a, b]
        row[1] = (row[10] - row[8] + 1) * (row[11] - row[9] + 1)
        row[4], row[5] = size, low / high
        for i in range(size):
            found[k, i] = names[found[k, i]]
    return found[:num_found].copy(), measures


@compiled
def _take(found, num_found, taken, limits, members, size, hashes, slots):
    """Adds a candidate to its list unless that is full or has it already."""
    if taken[size - 1] >= limits[size - 1]:
        return num_found
    key = np.uint64(0)
    for i in range(size):
        key ^= hashes[members[i]]
    last = np.uint64(len(slots) - 1)
    slot = key & last
    while slots[slot] != 0:
        if slots[slot] == key:
            return num_found
        slot = (slot + np.uint64(1)) & last
    slots[slot] = key
    for i in range(size):
        found[num_found, i] = members[i]
    taken[size - 1] += 1
    return num_found + 1


@compiled
def _scramble(x):
    """A number's hash (SplitMix64), the same on every machine."""
    x += np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
