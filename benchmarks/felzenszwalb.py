"""Felzenszwalb-Huttenlocher masks: beside scikit-image's, which are the same, and stage by stage.

OMP_NUM_THREADS=1 python benchmarks/felzenszwalb.py         # two minutes; writes a result
OMP_NUM_THREADS=1 python benchmarks/felzenszwalb.py quick   # half a minute; writes nothing
python benchmarks/felzenszwalb.py table                     # the result as Markdown
"""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import cv2
import numpy as np
from jpegs import make_photos
from pairs import RESULTS, in_pairs, save, stage_table
from skimage.segmentation import felzenszwalb

from detcon.masks import graph_segments as module
from detcon.masks.graph_segments import segment_photo
from detcon.photos import shrink

OFFICIAL, SMALL = (1000.0, 1000), (500.0, 250)
CASES = {  # height and width, max_side, settings
    "480 x 360": ((360, 480), None, [OFFICIAL]),
    "480 x 360, max_side=256": ((360, 480), 256, [SMALL]),
    "480 x 360, three settings": ((360, 480), None, [OFFICIAL, (300.0, 300), (1000.0, 300)]),
    "500 x 375": ((375, 500), None, [OFFICIAL]),
}
NUM_PHOTOS = 12


def ours(
    photos: Sequence[np.ndarray], max_side: int | None, settings: list[tuple[float, int]]
) -> list[list[np.ndarray]]:
    return [segment_photo(shrink(photo, max_side), settings) for photo in photos]


def peer(
    photos: Sequence[np.ndarray], max_side: int | None, settings: list[tuple[float, int]]
) -> list[list[np.ndarray]]:
    return [
        [felzenszwalb(shrink(photo, max_side), scale=s, min_size=m) for s, m in settings]
        for photo in photos
    ]


def stages(photo: np.ndarray, scale: float, min_size: int) -> dict[str, float]:
    """CPU milliseconds of each stage of one map."""
    spent, last = {}, process_time()

    def mark(stage: str, run: Callable[[], Any]) -> Any:
        nonlocal last
        found = run()
        spent[stage], last = 1000 * (process_time() - last), process_time()
        return found

    smooth = mark("smooth", lambda: module._smooth(photo, module._gaussian(0.8)))
    costs = mark("costs", lambda: module._costs(smooth))
    links, bounds = mark("bins", lambda: module._binned(costs))
    found = mark("first pass", lambda: module._first_pass(costs, links, bounds, scale / 255))
    mark("second pass, numbers", lambda: module._second_pass(costs, *found, min_size))
    return spent


def measure(folder: Path, runs: int) -> dict[str, Any]:
    """Every case, in CPU time of one thread."""
    figures: dict[str, Any] = {"peer": {}, "stages": {}}
    for name, (size, max_side, settings) in CASES.items():
        source, _ = make_photos(folder / name, size, NUM_PHOTOS)
        photos = [source.read(key) for key in source.keys]
        what = (photos, max_side, settings)
        assert np.array_equal(ours(*what), peer(*what)), "the segments are scikit-image's"
        pairs = in_pairs(
            partial(ours, *what), partial(peer, *what), runs=runs, warm_up=1, clock=process_time
        )
        figures["peer"][name] = pairs.figures()
        if len(settings) == 1:
            found = [stages(shrink(photo, max_side), *settings[0]) for photo in photos * 3]
            medians = {stage: median(one[stage] for one in found) for stage in found[0]}
            figures["stages"][name] = medians
    return figures


def tables(figures: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = ["| photo | ours, ms | scikit-image, ms | scikit-image / ours |", "|---|--:|--:|--:|"]
    for name, one in figures["peer"].items():
        mine, theirs = (1000 * one[f"{who}_seconds"] / NUM_PHOTOS for who in ("ours", "peer"))
        spread = f"{1 / one['greatest_ratio']:.1f}-{1 / one['least_ratio']:.1f}"
        lines.append(f"| {name} | {mine:.1f} | {theirs:.1f} | {1 / one['ratio']:.1f} ({spread}) |")
    lines += ["", *stage_table(figures["stages"], digits=2)]
    return "\n".join(lines)


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    if what == "table":
        print(tables(json.loads((RESULTS / "felzenszwalb.json").read_text())["figures"]))
    else:
        cv2.setNumThreads(1)
        with tempfile.TemporaryDirectory() as name:
            found = measure(Path(name), runs=3 if what == "quick" else 10)
        print(tables(found) if what == "quick" else save("felzenszwalb", found))
