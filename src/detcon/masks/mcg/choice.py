"""Choosing regions that score high and differ from each other.

Axes: n superpixels, g nodes of all trees, k candidates, m chosen masks.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

from detcon.masks.mcg.candidates import Candidates
from detcon.masks.mcg.hierarchy import Tree
from detcon.masks.mcg.superpixels import Superpixels
from detcon.ops.compiled import compiled


def choose(
    superpixels: Superpixels,
    trees: Sequence[Tree],
    candidates: Candidates,
    scores: Float64[np.ndarray, " k"],
    *,
    num: int,
    diversity: float,
    max_overlap: float,
) -> tuple[Bool[np.ndarray, "n m"], Float64[np.ndarray, " m"]]:
    """Maximal marginal relevance: again and again the best of what is left.

    Best is the largest `(1 - diversity) * score - diversity * overlap`, where overlap is the
    largest intersection over union with what is chosen already. All candidates stay in the race:
    the best few hundred of them are near copies of each other.

    Args:
        superpixels: What masks are made of.
        trees: Whose nodes candidates name.
        candidates: What may be chosen.
        scores: Of candidates, up to 1; -inf for what must not be chosen.
        num: How many masks are wanted; fewer come out where nothing is left.
        diversity: What being different counts, from 0 to 1.
        max_overlap: A candidate that overlaps more with a chosen one is out.

    Returns:
        Which superpixels each mask has, and what each was worth when it was chosen: descending.
    """
    return _choose(
        superpixels.areas,
        np.concatenate([tree.children for tree in trees]),
        candidates.members,
        candidates.areas,
        scores,
        num,
        diversity,
        max_overlap,
    )


@compiled
def _choose(leaf_areas, children, members, areas, scores, num, diversity, max_overlap):
    num_leaves, num_candidates = len(leaf_areas), len(members)
    inside, worth = np.zeros((num_leaves, num), np.bool_), np.empty(num)
    common = np.zeros(len(children) + 1)  # the last is that of node -1
    overlaps, left = np.zeros(num_candidates), scores > -np.inf
    for turn in range(num):
        best, worth[turn] = -1, -np.inf
        for k in range(num_candidates):
            marginal = (1 - diversity) * scores[k] - diversity * overlaps[k]
            if left[k] and marginal > worth[turn]:
                best, worth[turn] = k, marginal
        if best < 0:
            return inside[:, :turn].copy(), worth[:turn].copy()
        _fill(inside[:, turn], members[best], children)
        _add_up(common, leaf_areas, inside[:, turn], children)
        left[best] = False
        for k in range(num_candidates):
            if left[k]:
                both = 0.0
                for i in range(4):
                    both += common[members[k, i]]
                overlap = both / (areas[k] + areas[best] - both)
                overlaps[k] = max(overlaps[k], overlap)
                left[k] = overlap <= max_overlap
    return inside, worth


@compiled
def _fill(inside, members, children):
    """Marks the superpixels below a few nodes of one tree."""
    num_leaves = len(inside)
    num_nodes = 2 * num_leaves - 1
    first = members[0] // num_nodes * num_nodes
    below = np.zeros(num_nodes, np.bool_)
    for i in range(4):
        if members[i] >= 0:
            below[members[i] - first] = True
    for node in range(num_nodes - 1, num_leaves - 1, -1):
        if below[node]:
            below[children[first + node, 0]] = below[children[first + node, 1]] = True
    inside[:] = below[:num_leaves]


@compiled
def _add_up(common, leaf_areas, inside, children):
    """How many pixels each node of each tree has in common with a mask."""
    num_leaves = len(inside)
    num_nodes = 2 * num_leaves - 1
    for first in range(0, len(children), num_nodes):
        for leaf in range(num_leaves):
            common[first + leaf] = leaf_areas[leaf] if inside[leaf] else 0.0
        for node in range(first + num_leaves, first + num_nodes):
            common[node] = common[first + children[node, 0]] + common[first + children[node, 1]]
