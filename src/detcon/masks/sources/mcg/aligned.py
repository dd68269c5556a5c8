"""Hierarchies of a photo at several scales, on the superpixels of the finest one: with higra.

At each scale contours go through the oriented watershed transform, which weighs an arc by how well
contours lie along it, and regions are merged by the mean strength of what separates them (OWT and
UCM: Arbelaez et al., PAMI 2011). Coarser hierarchies are projected onto the finest superpixels, so
that all have its exact borders; their mean, merged anew, is the multiscale one (MCG, section 4 of
arXiv 1503.00848).

Axes: y x pixels, n superpixels, e borders.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

from detcon.masks.sources.mcg.contours import smooth
from detcon.masks.sources.mcg.hierarchy import Tree
from detcon.masks.sources.mcg.superpixels import Superpixels, measure_superpixels

_ORIENTATION_SIGMA = 2.0  # pixels, before the second differences whose axes are orientations


class MissingHigra(ImportError, ValueError):
    """higra isn't installed."""


class _Scale(NamedTuple):
    """One scale's hierarchy: each pixel's leaf of the tree, at the size of the map."""

    leaves: Int64[np.ndarray, "y x"]
    tree: Any
    heights: Float64[np.ndarray, " t"]


def build_aligned(
    contours: Sequence[Float32[np.ndarray, "_ _"]], channels: Float32[np.ndarray, "c y x"]
) -> tuple[Superpixels, list[Tree]]:
    """Superpixels, and the multiscale tree followed by those of the scales, the coarsest first.

    Args:
        contours: A map of each scale, of any size, the finest first.
        channels: What is measured in superpixels; its size is that of the map of superpixels.

    Raises:
        MissingHigra: If higra isn't installed.
    """
    higra = import_higra()
    scales = [_build_scale(higra, one, channels.shape[1:]) for one in contours]
    finest = scales[0].leaves
    _, labels = np.unique(finest, return_inverse=True)  # a small map has lost some
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
    """higra, which takes a second to import, and which nothing else needs.

    Raises:
        MissingHigra: If it isn't installed.
    """
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
    height, width = contours.shape
    rows = (2 * np.arange(size[0]) + 1) * height // (2 * size[0])
    columns = (2 * np.arange(size[1]) + 1) * width // (2 * size[1])
    return _Scale(leaves.reshape(contours.shape)[rows[:, None], columns], tree, heights)


def _across(contours: Float32[np.ndarray, "v u"]) -> Float32[np.ndarray, "v u"]:
    """The direction across the ridge at each pixel, from 0 to pi.

    As structured forests find it: along a ridge the second difference is the largest.
    """
    soft = smooth(contours, _ORIENTATION_SIGMA)
    wide = np.pad(soft, 2, mode="edge")
    down, right = np.gradient(wide)
    yy, _ = np.gradient(down)
    xy, xx = np.gradient(right)
    along = 0.5 * np.arctan2(2 * xy, xx - yy)[2:-2, 2:-2]
    return ((along + np.pi / 2) % np.pi).astype(np.float32)


def _project(
    higra: ModuleType, labels: np.ndarray, superpixels: Superpixels, scale: _Scale
) -> Float64[np.ndarray, " e"]:
    """At what height a scale merges two neighbours: the regions that most of their pixels have.

    Labels go to higra in 64 bits; narrower ones would choose narrow heights as well.
    """
    regions = higra.project_fine_to_coarse_labelisation(
        labels.ravel().astype(np.int64), scale.leaves.ravel()
    )
    ends = np.asarray(regions, np.int64)[superpixels.ends]
    return scale.heights[scale.tree.lowest_common_ancestor(ends[:, 0], ends[:, 1])]


def _to_tree(higra: ModuleType, tree: Any, heights: Float64[np.ndarray, " t"]) -> Tree:
    """higra's binary tree as ours: the same order of nodes, heights that never fall."""
    parents = tree.parents().astype(np.int32)
    parents[-1] = -1
    num = (len(parents) + 1) // 2
    order = np.argsort(parents[:-1], kind="stable").astype(np.int32)
    children = np.full((len(parents), 2), -1, np.int32)
    children[num:] = order.reshape(-1, 2)
    leaves = np.zeros(num)
    rising = higra.accumulate_and_max_sequential(tree, heights, leaves, higra.Accumulators.max)
    return Tree(children, parents, rising)
