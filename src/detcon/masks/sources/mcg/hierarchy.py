"""Merging superpixels, the most alike neighbours first, into a binary tree of regions.

Axes: n superpixels, e borders, t = 2 n - 1 nodes of the tree: the superpixels, then what was
merged, in that order; the root is the last.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32

from detcon.masks.sources.mcg.superpixels import BINS, Superpixels
from detcon.ops.compiled import compiled

_AREA_POWER = 0.1
_COLOUR_FLOOR = 0.085  # of distances up to the root of 2


class Tree(NamedTuple):
    """A hierarchy of regions.

    Attributes:
        children: The two nodes that were merged, the earlier first; -1 at superpixels.
        parents: The node that a node was merged into; -1 at the root.
        heights: How much the two differed, and never less than below; 0 at superpixels.
    """

    children: Int32[np.ndarray, "t 2"]
    parents: Int32[np.ndarray, " t"]
    heights: Float64[np.ndarray, " t"]


def build_tree(superpixels: Superpixels, strengths: Float64[np.ndarray, " e"]) -> Tree:
    """Average linkage: two regions differ by the mean strength of contours on their border.

    That is the ultrametric contour map's rule (Arbelaez et al., PAMI 2011). Two factors are
    ours. The smaller area to a small power lets specks go first, however contrasty they are.
    How far the histograms are apart, to a power too, tells an object's outline from a line that
    has the same on both sides, and lets parts of one pattern find together.
    """
    return Tree(
        *_merge(
            superpixels.areas,
            superpixels.histograms,
            superpixels.ends,
            superpixels.lengths,
            strengths,
        )
    )


@compiled
def _merge(leaf_areas, leaf_histograms, leaf_ends, leaf_lengths, leaf_strengths):
    """Merges until one region is left.

    A region lives in a place, at first its superpixel's. Of two merged ones that with more
    borders keeps its place; the other's borders come to it, and where both had one with the
    same neighbour these become one. Borders wait in a heap. A border whose difference fell is
    put in again; one whose difference rose is only when its turn comes.
    """
    num, num_borders = len(leaf_areas), len(leaf_ends)
    areas, histograms, ends = leaf_areas.copy(), leaf_histograms.copy(), leaf_ends.copy()
    lengths, strengths = leaf_lengths.copy(), leaf_strengths.copy()
    powers = areas**_AREA_POWER
    children = np.full((2 * num - 1, 2), -1, np.int32)
    parents, heights = np.full(2 * num - 1, -1, np.int32), np.zeros(2 * num - 1)
    nodes = np.arange(num).astype(np.int32)  # that live in a place
    first, following, degrees = _lists(num, ends)
    to = np.full(num, -1, np.int32)  # of a place, its border with the region at hand
    costs, queued = np.empty(num_borders), np.empty(num_borders)
    keys, borders, size = (
        np.empty(4 * num_borders + 64),
        np.empty(4 * num_borders + 64, np.int32),
        0,
    )
    for e in range(num_borders):
        a, b = ends[e, 0], ends[e, 1]
        costs[e] = strengths[e] / lengths[e] * _weight(areas, powers, histograms, a, b)
        queued[e] = costs[e]
        size = _push(keys, borders, size, costs[e], e)
    for made in range(num, 2 * num - 1):
        while True:
            key, e = keys[0], borders[0]
            size = _pop(keys, borders, size)
            if costs[e] < 0 or key != queued[e]:
                continue
            if key == costs[e]:
                break
            queued[e] = costs[e]
            size = _push(keys, borders, size, costs[e], e)
        a, b = ends[e, 0], ends[e, 1]
        if degrees[a] < degrees[b]:
            a, b = b, a
        children[made, 0] = min(nodes[a], nodes[b])
        children[made, 1] = max(nodes[a], nodes[b])
        parents[nodes[a]] = parents[nodes[b]] = made
        heights[made] = max(costs[e], max(heights[nodes[a]], heights[nodes[b]]))
        nodes[a], costs[e] = made, -1.0
        share = np.float32(areas[b] / (areas[a] + areas[b]))
        for k in range(histograms.shape[1]):
            histograms[a, k] += share * (histograms[b, k] - histograms[a, k])
        areas[a] += areas[b]
        powers[a] = areas[a] ** _AREA_POWER
        _join(a, b, ends, lengths, strengths, costs, first, following, degrees, to)
        if size + degrees[a] > len(keys):
            keys, borders = np.concatenate((keys, keys)), np.concatenate((borders, borders))
        link = first[a]
        while link >= 0:
            f = link >> 1
            c = ends[f, 0] + ends[f, 1] - a
            costs[f] = strengths[f] / lengths[f] * _weight(areas, powers, histograms, a, c)
            if costs[f] < queued[f]:
                queued[f] = costs[f]
                size = _push(keys, borders, size, costs[f], f)
            link = following[link]
    return children, parents, heights


@compiled
def _weight(areas, powers, histograms, a, b):
    """What the strength of two regions' border is multiplied by."""
    first, second, third, fourth = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for k in range(0, histograms.shape[1], 4):  # four sums, so that none waits for another
        first += (histograms[a, k] - histograms[b, k]) ** 2
        second += (histograms[a, k + 1] - histograms[b, k + 1]) ** 2
        third += (histograms[a, k + 2] - histograms[b, k + 2]) ** 2
        fourth += (histograms[a, k + 3] - histograms[b, k + 3]) ** 2
    channels = np.float32(histograms.shape[1] // BINS)
    root = np.sqrt(np.sqrt(_COLOUR_FLOOR + np.sqrt((first + second + third + fourth) / channels)))
    return min(powers[a], powers[b]) * root * np.sqrt(root)  # to the power of 3/8


@compiled
def _lists(num, ends):
    """Each place's borders as a list, and how many they are; link 2 e + i is border e's end i."""
    first, degrees = np.full(num, -1, np.int32), np.zeros(num, np.int32)
    following = np.full(2 * len(ends), -1, np.int32)
    for link in range(2 * len(ends) - 1, -1, -1):
        place = ends[link >> 1, link & 1]
        following[link], first[place] = first[place], link
        degrees[place] += 1
    return first, following, degrees


@compiled
def _join(a, b, ends, lengths, strengths, costs, first, following, degrees, to):
    """Brings the borders of place b to place a; those that are gone get cost -1."""
    kept, link = np.int32(-1), first[a]
    degrees[a], first[a] = 0, -1
    for place in (a, b):
        while link >= 0:
            after, f = following[link], link >> 1
            if costs[f] >= 0:
                c = ends[f, 0] + ends[f, 1] - place
                if to[c] < 0:
                    to[c], ends[f, 0], ends[f, 1] = f, a, c
                    if kept < 0:
                        first[a] = link
                    else:
                        following[kept] = link
                    kept = link
                    following[link] = -1
                    degrees[a] += 1
                else:
                    lengths[to[c]] += lengths[f]
                    strengths[to[c]] += strengths[f]
                    costs[f] = -1.0
                    degrees[c] -= 1
            link = after
        if place == a:
            link = first[b]
    link = first[a]
    while link >= 0:
        f = link >> 1
        to[ends[f, 0] + ends[f, 1] - a] = -1
        link = following[link]


@compiled
def _push(keys, borders, size, key, border):
    """Into a heap by key, equal ones by number."""
    place = size
    while place > 0:
        above = (place - 1) >> 1
        if keys[above] < key or (keys[above] == key and borders[above] <= border):
            break
        keys[place], borders[place] = keys[above], borders[above]
        place = above
    keys[place], borders[place] = key, border
    return size + 1


@compiled
def _pop(keys, borders, size):
    """Takes the least out of the heap."""
    size -= 1
    key, border = keys[size], borders[size]
    place = 0
    while 2 * place + 1 < size:
        below = 2 * place + 1
        if below + 1 < size and (
            keys[below + 1] < keys[below]
            or (keys[below + 1] == keys[below] and borders[below + 1] < borders[below])
        ):
            below += 1
        if key < keys[below] or (key == keys[below] and border <= borders[below]):
            break
        keys[place], borders[place] = keys[below], borders[below]
        place = below
    keys[place], borders[place] = key, border
    return size
