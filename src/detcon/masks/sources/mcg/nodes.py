"""Measures of the nodes at the top of a tree, which candidates are made of.

Candidates need only the last merges of a tree. The nodes that these made or joined are kept.

Axes: n superpixels, e borders, t nodes of the tree, r kept nodes, the root last.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, UInt64

from detcon.masks.sources.mcg.hierarchy import Tree
from detcon.masks.sources.mcg.superpixels import Superpixels
from detcon.ops.compiled import compiled


class Nodes(NamedTuple):
    """The kept nodes, in the order of their numbers.

    Attributes:
        names: Their numbers in the tree.
        pairs: The two nodes that each was merged from, as rows of this record; -1 for nodes that
            were made before the last merges.
        starts: The height at which a node was made; 0 for superpixels.
        ends: The height at which it is merged with something else; infinite for the root.
        areas: In pixels.
        boxes: First row, first column, last row, last column.
        hashes: A hash of each node's set of superpixels; that of a disjoint union is the xor.
        lengths: Length of the border between two nodes, in pixel edges; 0 where they don't touch.
        contours: The sum of contours along it.
        perimeters: Length of all borders of a node; the photo's edge doesn't count.
        outlines: The sum of contours along them.
    """

    names: Int32[np.ndarray, " r"]
    pairs: Int32[np.ndarray, "r 2"]
    starts: Float64[np.ndarray, " r"]
    ends: Float64[np.ndarray, " r"]
    areas: Float64[np.ndarray, " r"]
    boxes: Int32[np.ndarray, "r 4"]
    hashes: UInt64[np.ndarray, " r"]
    lengths: Float64[np.ndarray, "r r"]
    contours: Float64[np.ndarray, "r r"]
    perimeters: Float64[np.ndarray, " r"]
    outlines: Float64[np.ndarray, " r"]


def find_nodes(
    superpixels: Superpixels, tree: Tree, contours: Float64[np.ndarray, " e"], most: int
) -> Nodes:
    """Measures the nodes that the last merges of a tree joined or made.

    Args:
        superpixels: The leaves of the tree.
        tree: The tree.
        contours: The sum of contours along each border of superpixels.
        most: The largest number of merges.
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
    """Names, the smallest kept node that holds each superpixel [n], and pairs."""
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
