"""Hierarchies of a photo at several scales, all on the finest superpixels. Uses higra.

At each scale the oriented watershed transform finds superpixels and the strength of their borders:
contours count more where they run along a border. Regions are then merged by the mean strength of
their common border (OWT and UCM: Arbelaez et al., PAMI 2011). Coarser hierarchies are projected
onto the finest superpixels, so that all scales share the finest borders. The mean over scales,
merged once more, is the multiscale hierarchy (MCG, section 4 of arXiv 1503.00848).

Axes: y x pixels, n superpixels, e borders.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

from detcon.masks.masks import resize_map
from detcon.masks.sources.mcg.contours import smooth
from detcon.masks.sources.mcg.hierarchy import Tree
from detcon.masks.sources.mcg.superpixels import Superpixels, measure_superpixels

_ORIENTATION_SIGMA = 2.0  # pixels, before the second differences whose axes are orientations


class MissingHigra(ImportError, ValueError):
    """higra isn't installed."""


class _Scale(NamedTuple):
    """One scale's hierarchy."""

    leaves: Int64[np.ndarray, "y x"]  # each pixel's leaf, at the common size
    tree: Any  # higra's
    heights: Float64[np.ndarray, " t"]


def build_aligned(
    contours: Sequence[Float32[np.ndarray, "_ _"]], channels: Float32[np.ndarray, "c y x"]
) -> tuple[Superpixels, list[Tree]]:
    """The finest superpixels; the multiscale tree, then those of the scales, the coarsest first.

    There is a contour map of each scale, of any size, the finest first. The map of superpixels has
    the size of `channels`, whose histograms are measured.
    """
    higra = import_higra()
    scales = [_build_scale(higra, one, channels.shape[1:]) for one in contours]
    finest = scales[0].leaves
    _, labels = np.unique(finest, return_inverse=True)  # resizing may have lost some leaves
    labels = labels.reshape(finest.shape)
    superpixels = measure_superpixels(
        labels.astype(np.int32), np.empty((0, *labels.shape), np.float32), channels
    )
    between = [_project(higra, labels, superpixels, scale) for scale in scales]
    mean = np.mean(between, axis=0)
    superpixels = superpixels._replace(strengths=(mean * superpixels.lengths)[None])
    graph = higra.UndirectedGraph(len(superpixels.areas))
    graph.add_edges(*superpixels.ends.T.astype(np.int64))
    multi = higra.binary_partition_tree_average_linkage(
        graph, mean, edge_weight_weights=superpixels.lengths
    )
    found = [multi, *(higra.bpt_canonical(graph, one) for one in reversed(between))]
    return superpixels, [_to_tree(higra, *one) for one in found]


def import_higra() -> ModuleType:
    """Imports higra, which is optional and takes a second."""
    try:
        import higra
    except ImportError as error:
        raise MissingHigra(
            "masks of kind mcg_full need higra, which isn't installed; "
            "pip install 'detcon[mcg]', or use kind mcg"
        ) from error
    return higra


def _build_scale(
    higra: ModuleType, contours: Float32[np.ndarray, "v u"], size: tuple[int, int]
) -> _Scale:
    graph = higra.get_4_adjacency_graph(contours.shape)
    weights = higra.weight_graph(graph, contours.astype(float), higra.WeightFunction.mean)
    sources, _ = graph.edge_list()
    orientations = _across(contours).astype(float).ravel()[sources]
    tree, heights = higra.mean_pb_hierarchy(graph, weights, edge_orientations=orientations)
    rag = higra.CptHierarchy.get_leaf_graph(tree)
    leaves = np.asarray(higra.CptRegionAdjacencyGraph.get_vertex_map(rag), np.int64)
    return _Scale(resize_map(leaves.reshape(contours.shape), size), tree, heights)


def _across(contours: Float32[np.ndarray, "v u"]) -> Float32[np.ndarray, "v u"]:
    """The direction across the contour at each pixel, from 0 to pi.

    As structured forests find it: a contour is a ridge of the map, and of all directions the
    second difference is largest along the ridge (across it, it is negative).
    """
    soft = smooth(contours, _ORIENTATION_SIGMA)
    wide = np.pad(soft, 2, mode="edge")
    down, right = np.gradient(wide)
    yy, _ = np.gradient(down)
    xy, xx = np.gradient(right)
    # the axis of the larger eigenvalue of the Hessian [[xx, xy], [xy, yy]]
    along = 0.5 * np.arctan2(2 * xy, xx - yy)[2:-2, 2:-2]
    return ((along + np.pi / 2) % np.pi).astype(np.float32)


def _project(
    higra: ModuleType, labels: np.ndarray, superpixels: Superpixels, scale: _Scale
) -> Float64[np.ndarray, " e"]:
    """The height at which a scale merges the two superpixels of each border.

    In a coarser scale, a superpixel belongs to the region that most of its pixels lie in. higra
    gets labels in 64 bits: with narrower ones its heights would lose precision too.
    """
    regions = higra.project_fine_to_coarse_labelisation(
        labels.ravel().astype(np.int64), scale.leaves.ravel()
    )
    ends = np.asarray(regions, np.int64)[superpixels.ends]
    return scale.heights[scale.tree.lowest_common_ancestor(ends[:, 0], ends[:, 1])]


def _to_tree(higra: ModuleType, tree: Any, heights: Float64[np.ndarray, " t"]) -> Tree:
    """higra's binary tree as ours: the same order of nodes; a node is never below its children."""
    parents = tree.parents().astype(np.int32)
    parents[-1] = -1
    num = (len(parents) + 1) // 2
    order = np.argsort(parents[:-1], kind="stable").astype(np.int32)
    children = np.full((len(parents), 2), -1, np.int32)
    children[num:] = order.reshape(-1, 2)
    leaves = np.zeros(num)
    rising = higra.accumulate_and_max_sequential(tree, heights, leaves, higra.Accumulators.max)
    return Tree(children, parents, rising)
