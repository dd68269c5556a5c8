"""MCG masks: beside scikit-image's Felzenszwalb-Huttenlocher segments, and stage by stage.

OMP_NUM_THREADS=1 python benchmarks/mcg.py         # two minutes; writes a result
OMP_NUM_THREADS=1 python benchmarks/mcg.py quick   # half a minute; writes nothing
python benchmarks/mcg.py table                     # the result as Markdown

The peer makes other, disjoint masks: the ones that DetCon is published with, at their settings.
"""

from functools import partial

import numpy as np
from generators import Case, Stages, main
from skimage.segmentation import felzenszwalb

from detcon.masks.sources import MCG
from detcon.masks.sources.mcg.candidates import find_candidates
from detcon.masks.sources.mcg.contours import find_contours, to_channels
from detcon.masks.sources.mcg.hierarchy import build_tree
from detcon.masks.sources.mcg.superpixels import find_superpixels
from detcon.photos import shrink


def case(size: tuple[int, int], generate: MCG) -> Case:
    """Photos of `size`."""
    peer = partial(felzenszwalb, scale=1000, min_size=1000)
    return Case(size, generate, peer, partial(by_stage, generate))


def by_stage(generate: MCG, photo: np.ndarray) -> Stages:
    """The masks of one photo; the last stage is what is left of the whole."""
    stage = Stages()
    channels = stage("shrink, Lab", lambda: to_channels(shrink(photo, generate.max_side)))
    contours = stage("contours", lambda: find_contours(channels))
    superpixels = stage("superpixels", lambda: find_superpixels(contours, channels))
    trees = stage("trees", lambda: [build_tree(superpixels, s) for s in superpixels.strengths])
    nums = (generate.singles, generate.pairs, generate.triplets, generate.quadruplets)
    stage("candidates", lambda: find_candidates(superpixels, trees, nums))
    before = sum(stage.spent.values())
    stage("scores, choice, map", lambda: generate(photo))
    stage.spent["scores, choice, map"] = max(0.0, stage.spent["scores, choice, map"] - before)
    return stage


CASES = {
    "480 x 360": case((360, 480), MCG()),
    "500 x 375": case((375, 500), MCG()),
    "500 x 375, with tuples": case((375, 500), MCG(pairs=300, triplets=300, quadruplets=100)),
    "500 x 375, max_side=null": case((375, 500), MCG(max_side=None)),
}

if __name__ == "__main__":
    main("mcg", "MCG", CASES)
