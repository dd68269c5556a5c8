"""Merging superpixels, the most alike neighbours first, into a binary tree.

Axes: n superpixels, e borders, t = 2 n - 1 nodes of the tree, of which the first n are the
superpixels and the others stand in the order of merging, the root last.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32

from detcon.masks.mcg.superpixels import Superpixels
from detcon.ops.compiled import compiled


class Tree(NamedTuple):
    """A hierarchy of regions.

    Attributes:
        children: The two nodes that were merged; -1 at superpixels.
        heights: How unlike these were, and never less than below; 0 at superpixels.
    """

    children: Int32[np.ndarray, "t 2"]
    heights: Float64[np.ndarray, " t"]


def build_tree(
    superpixels: Superpixels, strengths: Float64[np.ndarray, " e"], *, area_power: float
) -> Tree:
    """Average linkage: two regions differ by the mean strength of contours on their border.

    That mean is multiplied by the smaller one's area to `area_power`, so that specks, however
    contrasty, are merged before what is large.
    """
    return Tree(
        *_merge(
            superpixels.areas, superpixels.ends, superpixels.lengths, strengths, area_power
        )
    )


@compiled
def _merge(leaf_areas, leaf_ends, leaf_lengths, leaf_strengths, power):
    """Borders wait in a heap; one whose difference changed is put in again, and skipped later.

    Of two merged regions the one with more borders lives on in its place, where it keeps its
    borders; the others' are brought to it, and two with the same neighbour become one.
    """
    num, num_borders = len(leaf_areas), len(leaf_ends)
    areas, ends = leaf_areas.astype(np.float64), leaf_ends.copy()
    lengths, strengths = leaf_lengths.copy(), leaf_strengths.copy()
    powers = areas**power
    children, heights = np.full((2 * num - 1, 2), -1, np.int32), np.zeros(2 * num - 1)
    nodes = np.arange(num).astype(np.int32)  # that live in a place
    first, following, degrees = _lists(num, ends)
    last = _lasts(num, first, following)
    costs = np.empty(num_borders)
    room = 8 * num_borders + 64
    keys, borders = np.empty(room), np.empty(room, np.int32)
    size = 0
    for e in range(num_borders):
        costs[e] = strengths[e] / lengths[e] * min(powers[ends[e, 0]], powers[ends[e, 1]])
        size = _push(keys, borders, size, costs[e], e)
    to = np.full(num, -1, np.int32)  # of a place, its border with the region at hand
    made = num
    while made < 2 * num - 1:
        cost, e = keys[0], borders[0]
        size = _pop(keys, borders, size)
        if cost != costs[e]:
            continue
        a, b = ends[e, 0], ends[e, 1]
        if degrees[a] < degrees[b]:
            a, b = b, a
        children[made, 0], children[made, 1] = min(nodes[a], nodes[b]), max(nodes[a], nodes[b])
        heights[made] = max(cost, max(heights[nodes[a]], heights[nodes[b]]))
        nodes[a] = made
        made += 1
        costs[e] = -1.0
        small = min(areas[a], areas[b])
        areas[a] += areas[b]
        powers[a] = areas[a] ** power
        # a's own borders, without those that are gone
        link, before = first[a], np.int32(-1)
        degrees[a] = 0
        while link >= 0:
            f = link >> 1
            after = following[link]
            if costs[f] < 0:
                if before < 0:
                    first[a] = after
                else:
                    following[before] = after
            else:
                before = link
                degrees[a] += 1
                to[ends[f, 0] + ends[f, 1] - a] = f
            link = after
        last[a] = before
        link = first[b]
        while link >= 0:
            f = link >> 1
            after = following[link]
            if costs[f] >= 0:
                c = ends[f, 0] + ends[f, 1] - b
                g = to[c]
                if g >= 0:
                    lengths[g] += lengths[f]
                    strengths[g] += strengths[f]
                    costs[f] = -1.0
                    costs[g] = -2.0  # to be told anew
                    degrees[c] -= 1
                else:
                    ends[f, 0], ends[f, 1] = a, c
                    following[link] = -1
                    if last[a] < 0:
                        first[a] = link
                    else:
                        following[last[a]] = link
                    last[a] = link
                    degrees[a] += 1
                    costs[f] = -2.0
            link = after
        if size + degrees[a] > room:
            keys, borders = np.concatenate((keys, keys)), np.concatenate((borders, borders))
            room = len(keys)
        link = first[a]
        while link >= 0:
            f = link >> 1
            c = ends[f, 0] + ends[f, 1] - a
            to[c] = -1
            if costs[f] < 0 or areas[c] > small:
                new = strengths[f] / lengths[f] * min(powers[a], powers[c])
                if new != costs[f]:
                    costs[f] = new
                    size = _push(keys, borders, size, new, f)
            link = following[link]
    return children, heights


@compiled
def _lists(num, ends):
    """Each place's borders as a list; link 2 e + i is border e at its end i."""
    first, degrees = np.full(num, -1, np.int32), np.zeros(num, np.int32)
    following = np.full(2 * len(ends), -1, np.int32)
    for e in range(len(ends) - 1, -1, -1):
        for i in range(2):
            place = ends[e, i]
            following[2 * e + i] = first[place]
            first[place] = 2 * e + i
            degrees[place] += 1
    return first, following, degrees


@compiled
def _lasts(num, first, following):
    last = np.full(num, -1, np.int32)
    for place in range(num):
        link = first[place]
        while link >= 0:
            last[place] = link
            link = following[link]
    return last


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
    """Takes the least out."""
    size -= 1
    key, border = keys[size], borders[size]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        right = below + 1
        if right < size and (
            keys[right] < keys[below]
            or (keys[right] == keys[below] and borders[right] < borders[below])
        ):
            below = right
        if key < keys[below] or (key == keys[below] and border <= borders[below]):
            break
        keys[place], borders[place] = keys[below], borders[below]
        place = below
    keys[place], borders[place] = key, border
    return size
