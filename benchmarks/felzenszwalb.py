"""Felzenszwalb-Huttenlocher masks: beside scikit-image's, which are the same, and stage by stage.

OMP_NUM_THREADS=1 python benchmarks/felzenszwalb.py         # two minutes; writes a result
OMP_NUM_THREADS=1 python benchmarks/felzenszwalb.py quick   # half a minute; writes nothing
python benchmarks/felzenszwalb.py table                     # the result as Markdown
"""

import numpy as np
from generators import Case, Stages, main
from skimage.segmentation import felzenszwalb

from detcon.masks.sources import graph_segments as module
from detcon.masks.sources.graph_segments import segment_photo
from detcon.photos import shrink

OFFICIAL, SMALL = (1000.0, 1000), (500.0, 250)


def case(size: tuple[int, int], max_side: int | None, *settings: tuple[float, int]) -> Case:
    """Photos of `size`, shrunk to `max_side`, at some settings."""

    def ours(photo: np.ndarray) -> list[np.ndarray]:
        return segment_photo(shrink(photo, max_side), settings)

    def peer(photo: np.ndarray) -> list[np.ndarray]:
        photo = shrink(photo, max_side)
        return [felzenszwalb(photo, scale=scale, min_size=size) for scale, size in settings]

    def stages(photo: np.ndarray) -> Stages:
        return by_stage(shrink(photo, max_side), *settings[0])

    return Case(size, ours, peer, stages if len(settings) == 1 else None, same=True)


def by_stage(photo: np.ndarray, scale: float, min_size: int) -> Stages:
    """One map."""
    stage = Stages()
    smooth = stage("smooth", lambda: module._smooth(photo, module._gaussian(0.8)))
    costs = stage("costs", lambda: module._costs(smooth))
    links, bounds = stage("bins", lambda: module._binned(costs))
    found = stage("first pass", lambda: module._first_pass(costs, links, bounds, scale / 255))
    stage("second pass, numbers", lambda: module._second_pass(costs, *found, min_size))
    return stage


CASES = {
    "480 x 360": case((360, 480), None, OFFICIAL),
    "480 x 360, max_side=256": case((360, 480), 256, SMALL),
    "480 x 360, three settings": case((360, 480), None, OFFICIAL, (300.0, 300), (1000.0, 300)),
    "500 x 375": case((375, 500), None, OFFICIAL),
}

if __name__ == "__main__":
    main("felzenszwalb", "ours", CASES)
