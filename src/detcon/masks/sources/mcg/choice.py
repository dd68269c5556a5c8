"""Choosing regions that score high and differ from each other, with holes filled.

Axes: n superpixels, g nodes of all trees, k candidates, m chosen masks.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

from detcon.masks.sources.mcg.candidates import Candidates
from detcon.masks.sources.mcg.hierarchy import Tree
from detcon.masks.sources.mcg.superpixels import Superpixels
from detcon.ops.compiled import compiled

_COPY = 0.95  # masks that overlap as much are the same (MCG, section 6)


def choose(
    superpixels: Superpixels,
    trees: Sequence[Tree],
    candidates: Candidates,
    scores: Float64[np.ndarray, " k"],
    *,
    num: int,
    diversity: float,
    max_overlap: float,
    most: float = 1.0,
) -> tuple[Bool[np.ndarray, "n m"], Float64[np.ndarray, " m"]]:
    """Maximal marginal relevance: takes the best remaining candidate, again and again.

    Best is the largest `(1 - diversity) * score - diversity * overlap`, where overlap is the
    largest intersection over union with a chosen mask. No candidate is dropped for a low score,
    since the best few hundred are near copies of each other. The holes of a chosen region are
    filled: all that it cuts off from the photo's edge. It is dropped if it then is too large or too
    similar to a chosen mask.

    Args:
        scores: Up to 1; -inf for candidates that must not be chosen.
        num: The number of masks; fewer come out where no candidate is left.
        diversity: The weight of overlap against the score, from 0 to 1.
        max_overlap: Candidates that overlap more with a chosen mask are dropped; an overlap of
            0.95 is always too much.
        most: The largest share of the photo that a mask may cover once its holes are filled.

    Returns:
        Which superpixels each mask has, and its value when it was chosen, in falling order.
    """
    height, width = superpixels.labels.shape
    reach = superpixels.boxes - np.array([0, 0, height - 1, width - 1], np.int32)
    children = np.concatenate([tree.children for tree in trees])
    return _choose(
        superpixels.areas, superpixels.ends, (reach == 0).any(1), children,
        candidates.members, candidates.areas, scores,
        num, diversity, min(max_overlap, np.nextafter(_COPY, 0)), most * height * width,
    )  # fmt: skip


@compiled
def _choose(
    leaf_areas, leaf_ends, at_edge, children, members, areas, scores,
    num, diversity, max_overlap, most,
):  # fmt: skip
    num_leaves, num_candidates = len(leaf_areas), len(members)
    inside, worth = np.zeros((num, num_leaves), np.bool_), np.empty(num)
    common = np.zeros(len(children) + 1)  # the last is that of node -1
    overlaps, left = np.zeros(num_candidates), scores > -np.inf
    turn = 0
    while turn < num:
        best, worth[turn] = -1, -np.inf
        for k in range(num_candidates):
            marginal = (1 - diversity) * scores[k] - diversity * overlaps[k]
            if left[k] and marginal > worth[turn]:
                best, worth[turn] = k, marginal
        if best < 0:
            break
        left[best] = False
        # The mask with its holes filled. It counts only if it is not too large or too similar.
        _fill(inside[turn], members[best], children)
        _fill_holes(inside[turn], leaf_ends, at_edge)
        area = (leaf_areas * inside[turn]).sum()
        if area > most or _most_overlap(inside[: turn + 1], leaf_areas, area) > max_overlap:
            continue
        # The overlap of the new mask with every candidate, by adding up pixels in common along the
        # trees; a candidate's `overlaps` is its largest with any chosen mask.
        _add_up(common, leaf_areas, inside[turn], children)
        for k in range(num_candidates):
            if left[k]:
                both = 0.0
                for i in range(4):
                    both += common[members[k, i]]
                overlap = both / (areas[k] + area - both)
                overlaps[k] = max(overlaps[k], overlap)
                left[k] = overlap <= max_overlap
        turn += 1
    return inside[:turn].T.copy(), worth[:turn].copy()


@compiled
def _fill_holes(inside, ends, at_edge):
    """Adds the superpixels that have no way to the photo's edge but through the mask."""
    num = len(inside)
    above = np.arange(num + 1)  # union-find; the last stands for the outside of the photo
    for leaf in range(num):
        if at_edge[leaf] and not inside[leaf]:
            above[leaf] = num
    for e in range(len(ends)):
        a, b = ends[e]
        if not (inside[a] or inside[b]):
            a, b = _top(above, a), _top(above, b)
            above[min(a, b)] = max(a, b)
    for leaf in range(num):
        if not inside[leaf] and _top(above, leaf) != num:
            inside[leaf] = True


@compiled
def _top(above, place):
    """The root of a union-find tree, halving the path on the way."""
    while above[place] != place:
        above[place] = above[above[place]]
        place = above[place]
    return place


@compiled
def _most_overlap(inside, leaf_areas, area):
    """The largest overlap of the last mask, of `area` pixels, with an earlier one."""
    last, most = len(inside) - 1, 0.0
    for m in range(last):
        both, other = 0.0, 0.0
        for leaf in range(len(leaf_areas)):
            if inside[m, leaf]:
                other += leaf_areas[leaf]
                if inside[last, leaf]:
                    both += leaf_areas[leaf]
        most = max(most, both / (area + other - both))
    return most


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
