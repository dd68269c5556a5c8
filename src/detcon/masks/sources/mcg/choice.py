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
    at_edge = (superpixels.boxes == (0, 0, height - 1, width - 1)).any(1)
    children = np.concatenate([tree.children for tree in trees])
    pixels, largest = superpixels.areas, min(max_overlap, np.nextafter(_COPY, 0))
    left = scores > -np.inf
    scores, overlaps = np.where(left, scores, 0), np.zeros(len(scores))
    masks, worth = np.zeros((num, len(pixels)), bool), np.empty(num)
    turn = 0
    while turn < num and left.any():
        marginal = np.where(left, (1 - diversity) * scores - diversity * overlaps, -np.inf)
        best = int(marginal.argmax())
        left[best] = False
        # The mask with its holes filled. It counts only if it is not too large or too similar.
        mask = _leaves(candidates.members[best], children, len(pixels))
        _fill_holes(mask, superpixels.ends, at_edge)
        area = pixels[mask].sum()
        both = (masks[:turn] & mask) @ pixels
        overlap = both / (masks[:turn] @ pixels + area - both)
        if area > most * height * width or (overlap > largest).any():
            continue
        masks[turn], worth[turn] = mask, marginal[best]
        turn += 1
        # The overlap of the new mask with every candidate: pixels in common are added up along the
        # trees. A candidate's `overlaps` is its largest with any chosen mask.
        both = add_up(pixels * mask, children)[candidates.members].sum(1)
        overlap = both / (candidates.areas + area - both)
        overlaps = np.maximum(overlaps, overlap)
        left &= overlap <= largest
    return masks[:turn].T, worth[:turn]


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
def _leaves(members, children, num_leaves):
    """Which superpixels are below a few nodes of one tree."""
    num_nodes = 2 * num_leaves - 1
    first = members[0] // num_nodes * num_nodes
    below = np.zeros(num_nodes, np.bool_)
    for i in range(4):
        if members[i] >= 0:
            below[members[i] - first] = True
    for node in range(num_nodes - 1, num_leaves - 1, -1):
        if below[node]:
            below[children[first + node, 0]] = below[children[first + node, 1]] = True
    return below[:num_leaves].copy()


@compiled
def add_up(leaves, children):
    """The sum over the superpixels of each node of each tree; the last is that of node -1, 0."""
    found = np.zeros(len(children) + 1)
    num_nodes = 2 * len(leaves) - 1
    for first in range(0, len(children), num_nodes):
        found[first : first + len(leaves)] = leaves
        for node in range(first + len(leaves), first + num_nodes):
            found[node] = found[first + children[node, 0]] + found[first + children[node, 1]]
    return found
