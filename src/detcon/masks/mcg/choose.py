"""Choosing masks that score high and differ from each other.

Axes: n superpixels, g nodes of all trees, k candidates, c chosen.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64

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
) -> tuple[Bool[np.ndarray, "n c"], Float64[np.ndarray, " c"]]:
    """Maximal marginal relevance: again and again the best of what is left.

    Best is `(1 - diversity) * score - diversity * overlap`, where overlap is the greatest
    intersection over union with what is chosen already. All candidates stay in the race.

    Args:
        superpixels: What masks are made of.
        trees: The nodes that candidates name.
        candidates: What may be chosen.
        scores: Of candidates; -inf for what must not be chosen.
        num: How many masks are wanted; fewer come out where nothing is left.
        diversity: What being different counts, from 0 to 1.
        max_overlap: A candidate that overlaps more with a chosen one is out.

    Returns:
        Which superpixels each mask has, and what each was worth when it was chosen.
    """
    children = np.concatenate([tree.children for tree in trees])
    starts = np.cumsum([0, *(len(tree.heights) for tree in trees)])
    return _choose(
        superpixels.areas, children, starts, candidates.members,
        np.ascontiguousarray(candidates.measures[:, 0]), scores, num, diversity, max_overlap,
    )


@compiled
def _choose(leaf_areas, children, starts, members, areas, scores, num, diversity, max_overlap):
    num_leaves, num_candidates = len(leaf_areas), len(members)
    inside = np.zeros((num_leaves, num), np.bool_)
    worth = np.empty(num)
    overlaps, common = np.zeros(num_candidates), np.zeros(len(children) + 1)
    left = scores > -np.inf
    within = np.zeros(len(children), np.bool_)
    chosen = 0
    while chosen < num:
        best, value = -1, -np.inf
        for k in range(num_candidates):
            if left[k]:
                marginal = (1 - diversity) * scores[k] - diversity * overlaps[k]
                if marginal > value:
                    best, value = k, marginal
        if best < 0:
            break
        # its superpixels: those below its members
        tree = 0
        while starts[tree + 1] <= members[best, 0]:
            tree += 1
        start, stop = starts[tree], starts[tree + 1]
        within[start:stop] = False
        for i in range(4):
            if members[best, i] >= 0:
                within[members[best, i]] = True
        for node in range(stop - 1, start + num_leaves - 1, -1):
            if within[node]:
                within[start + children[node, 0]] = True
                within[start + children[node, 1]] = True
        for leaf in range(num_leaves):
            inside[leaf, chosen] = within[start + leaf]
        worth[chosen] = value
        left[best] = False
        # what each node, and so each candidate, has in common with it
        for tree in range(len(starts) - 1):
            start, stop = starts[tree], starts[tree + 1]
            for leaf in range(num_leaves):
                common[start + leaf] = leaf_areas[leaf] * inside[leaf, chosen]
            for node in range(start + num_leaves, stop):
                common[node] = common[start + children[node, 0]] + common[start + children[node, 1]]
        for k in range(num_candidates):
            if left[k]:
                both = 0.0
                for i in range(4):
                    both += common[members[k, i]]  # -1: the last, which is 0
                overlap = both / (areas[k] + areas[best] - both)
                overlaps[k] = max(overlaps[k], overlap)
                left[k] = overlap <= max_overlap
        chosen += 1
    return inside[:, :chosen].copy(), worth[:chosen].copy()
