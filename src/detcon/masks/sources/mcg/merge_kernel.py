"""The kernel behind `hierarchy.build_tree`: merging by a heap of borders, compiled.

`hierarchy.define_tree` defines what it computes. Histograms are in single precision here.

Axes: n slots, e borders, t = 2 n - 1 nodes of the tree.
"""

from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np

from detcon.ops.compiled import compiled

AREA_POWER = 0.1  # of the smaller of two regions
COLOUR_FLOOR = 0.085  # added to the distance of two histograms, which is at most sqrt(2)
COLOUR_POWER = 3 / 8  # of both together; written as roots in `_weight`


@compiled
def merge(leaf_areas, leaf_histograms, leaf_ends, leaf_lengths, leaf_strengths, num_channels):
    """Children, parents and heights of the tree that `hierarchy.define_tree` defines.

    A region lives in a slot, at first its superpixel's. Borders wait in a heap by their
    difference, equal ones by number. A border whose difference falls is pushed again; one whose
    difference rises is pushed again only when its old key comes up.
    """
    num, num_borders = len(leaf_areas), len(leaf_ends)
    areas, histograms, ends = leaf_areas.copy(), leaf_histograms.copy(), leaf_ends.copy()
    lengths, strengths = leaf_lengths.copy(), leaf_strengths.copy()
    powers, channels = areas**AREA_POWER, np.float32(num_channels)
    children = np.full((2 * num - 1, 2), -1, np.int32)
    parents, heights = np.full(2 * num - 1, -1, np.int32), np.zeros(2 * num - 1)
    nodes = np.arange(num).astype(np.int32)  # the tree's node that a slot holds now
    first, following, degrees = _lists(num, ends)
    to = np.full(num, -1, np.int32)  # scratch of _join: the merged region's border with a slot
    # costs: each border's difference now, or -1 once the border is gone.
    # queued: the key of its one valid entry in the heap; other entries of it are stale.
    costs, queued = np.empty(num_borders), np.empty(num_borders)
    heap: list[Any] = [(0.0, 0) for _ in range(0)]  # empty, of numba's type
    for e in range(num_borders):
        a, b = ends[e, 0], ends[e, 1]
        costs[e] = strengths[e] / lengths[e] * _weight(powers, histograms, channels, a, b)
        queued[e] = costs[e]
        heap.append((costs[e], e))
    heapify(heap)
    for made in range(num, 2 * num - 1):
        # 1. The border of the least difference. No valid key is above its border's difference
        #    (falls are pushed at once, rises are not), so the first key that is exact is the least.
        while True:
            key, e = heappop(heap)
            if costs[e] < 0 or key != queued[e]:  # gone, or stale
                continue
            if key == costs[e]:
                break
            queued[e] = costs[e]  # it rose meanwhile: back into the heap
            heappush(heap, (costs[e], e))
        # 2. The new node of the tree. Slot a, with more borders, stays; slot b moves into it.
        a, b = ends[e, 0], ends[e, 1]
        if degrees[a] < degrees[b]:
            a, b = b, a
        children[made, 0] = min(nodes[a], nodes[b])
        children[made, 1] = max(nodes[a], nodes[b])
        parents[nodes[a]] = parents[nodes[b]] = made
        heights[made] = max(costs[e], max(heights[nodes[a]], heights[nodes[b]]))
        nodes[a], costs[e] = made, -1.0
        # 3. Its histogram, the mean of both weighted by area, and its area.
        share = np.float32(areas[b] / (areas[a] + areas[b]))
        for k in range(histograms.shape[1]):
            histograms[a, k] += share * (histograms[b, k] - histograms[a, k])
        areas[a] += areas[b]
        powers[a] = areas[a] ** AREA_POWER
        # 4. Its borders: those of both, one for each neighbour.
        _join(a, b, ends, lengths, strengths, costs, first, following, degrees, to)
        # 5. Their differences, since area, histogram and perhaps the border itself have changed.
        link = first[a]
        while link >= 0:
            f = link >> 1
            c = ends[f, 0] + ends[f, 1] - a  # the other end
            costs[f] = strengths[f] / lengths[f] * _weight(powers, histograms, channels, a, c)
            if costs[f] < queued[f]:
                queued[f] = costs[f]
                heappush(heap, (costs[f], f))
            link = following[link]
    return children, parents, heights


@compiled
def _weight(powers, histograms, channels, a, b):
    """The factors of `hierarchy.difference`: what the mean strength of a border is multiplied by.

    The histograms' squared distance is summed in four chains that don't wait for each other. The
    power of 3/8 is r^(1/4) * r^(1/8), three square roots, which are faster than a power.
    """
    first, second, third, fourth = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for k in range(0, histograms.shape[1], 4):
        first += (histograms[a, k] - histograms[b, k]) ** 2
        second += (histograms[a, k + 1] - histograms[b, k + 1]) ** 2
        third += (histograms[a, k + 2] - histograms[b, k + 2]) ** 2
        fourth += (histograms[a, k + 3] - histograms[b, k + 3]) ** 2
    distance = np.sqrt((first + second + third + fourth) / channels)
    root = np.sqrt(np.sqrt(COLOUR_FLOOR + distance))
    return min(powers[a], powers[b]) * root * np.sqrt(root)


@compiled
def _lists(num, ends):
    """Each slot's borders as a linked list, and their number.

    Link 2 e + i is end i of border e: a border is in the lists of both its ends. `first` is a
    slot's first link, `following` the next link of each link, -1 at the end.
    """
    first, degrees = np.full(num, -1, np.int32), np.zeros(num, np.int32)
    following = np.full(2 * len(ends), -1, np.int32)
    for link in range(2 * len(ends) - 1, -1, -1):
        slot = ends[link >> 1, link & 1]
        following[link], first[slot] = first[slot], link
        degrees[slot] += 1
    return first, following, degrees


@compiled
def _join(a, b, ends, lengths, strengths, costs, first, following, degrees, to):
    """Makes the borders of slot b those of slot a; borders that end here get cost -1.

    Walks a's list and then b's, and threads what stays into one list of a. A second border with
    the same neighbour is added to the first and ends.
    """
    kept, link = np.int32(-1), first[a]
    degrees[a], first[a] = 0, -1
    for slot in (a, b):
        while link >= 0:
            after, f = following[link], link >> 1
            if costs[f] >= 0:  # gone borders drop out of the list here
                c = ends[f, 0] + ends[f, 1] - slot
                if to[c] < 0:  # the first border with neighbour c: kept
                    to[c], ends[f, 0], ends[f, 1] = f, a, c
                    if kept < 0:
                        first[a] = link
                    else:
                        following[kept] = link
                    kept = link
                    following[link] = -1
                    degrees[a] += 1
                else:  # another one: its length and strength go to the first
                    lengths[to[c]] += lengths[f]
                    strengths[to[c]] += strengths[f]
                    costs[f] = -1.0
                    degrees[c] -= 1
            link = after
        if slot == a:
            link = first[b]
    link = first[a]
    while link >= 0:  # leaves `to` at -1 for the next call
        f = link >> 1
        to[ends[f, 0] + ends[f, 1] - a] = -1
        link = following[link]
