"""MCG masks: beside scikit-image's Felzenszwalb-Huttenlocher segments, and stage by stage.

OMP_NUM_THREADS=1 python benchmarks/mcg.py         # two minutes; writes a result
OMP_NUM_THREADS=1 python benchmarks/mcg.py quick   # half a minute; writes nothing
python benchmarks/mcg.py table                     # the result as Markdown

The peer makes other, disjoint masks: the ones that DetCon is published with, at their settings.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import cv2
import numpy as np
from jpegs import make_photos
from pairs import RESULTS, in_pairs, save, stage_table
from skimage.segmentation import felzenszwalb

from detcon.masks import MCG
from detcon.masks.mcg.candidates import find_candidates
from detcon.masks.mcg.contours import find_contours, to_channels
from detcon.masks.mcg.hierarchy import build_tree
from detcon.masks.mcg.superpixels import find_superpixels
from detcon.photos import shrink

CASES = {  # height and width, generator
    "480 x 360": ((360, 480), MCG()),
    "500 x 375": ((375, 500), MCG()),
    "500 x 375, with tuples": ((375, 500), MCG(pairs=300, triplets=300, quadruplets=100)),
    "500 x 375, max_side=null": ((375, 500), MCG(max_side=None)),
}
NUM_PHOTOS = 12


def stages(generate: MCG, photo: np.ndarray) -> dict[str, float]:
    """CPU milliseconds of each stage of one photo; the last is what is left of the whole."""
    spent, last = {}, process_time()

    def mark(stage: str, run: Callable[[], Any]) -> Any:
        nonlocal last
        found = run()
        spent[stage], last = 1000 * (process_time() - last), process_time()
        return found

    channels = mark("shrink, Lab", lambda: to_channels(shrink(photo, generate.max_side)))
    contours = mark("contours", lambda: find_contours(channels))
    superpixels = mark("superpixels", lambda: find_superpixels(contours, channels))
    trees = mark("trees", lambda: [build_tree(superpixels, s) for s in superpixels.strengths])
    nums = (generate.singles, generate.pairs, generate.triplets, generate.quadruplets)
    mark("candidates", lambda: find_candidates(superpixels, trees, nums))
    before = sum(spent.values())
    mark("scores, choice, map", lambda: generate(photo))
    spent["scores, choice, map"] = max(0.0, spent["scores, choice, map"] - before)
    return spent


def measure(folder: Path, runs: int) -> dict[str, Any]:
    """Every case, in CPU time of one thread."""
    figures: dict[str, Any] = {"peer": {}, "stages": {}}
    for name, (size, generate) in CASES.items():
        source, _ = make_photos(folder / name, size, NUM_PHOTOS)
        photos = [source.read(key) for key in source.keys]

        def ours(photos=photos, generate=generate) -> None:
            for photo in photos:
                generate(photo)

        def peer(photos=photos) -> None:
            for photo in photos:
                felzenszwalb(photo, scale=1000, min_size=1000)

        pairs = in_pairs(ours, peer, runs=runs, warm_up=1, clock=process_time)
        figures["peer"][name] = pairs.figures()
        found = [stages(generate, photo) for photo in photos * 3]
        figures["stages"][name] = {stage: median(one[stage] for one in found) for stage in found[0]}
    return figures


def tables(figures: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = ["| photo | MCG, ms | scikit-image, ms | scikit-image / MCG |", "|---|--:|--:|--:|"]
    for name, one in figures["peer"].items():
        mine, theirs = (1000 * one[f"{who}_seconds"] / NUM_PHOTOS for who in ("ours", "peer"))
        spread = f"{1 / one['greatest_ratio']:.1f}-{1 / one['least_ratio']:.1f}"
        lines.append(f"| {name} | {mine:.1f} | {theirs:.1f} | {1 / one['ratio']:.1f} ({spread}) |")
    lines += ["", *stage_table(figures["stages"], digits=2)]
    return "\n".join(lines)


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    if what == "table":
        print(tables(json.loads((RESULTS / "mcg.json").read_text())["figures"]))
    else:
        cv2.setNumThreads(1)
        with tempfile.TemporaryDirectory() as name:
            found = measure(Path(name), runs=3 if what == "quick" else 10)
        print(tables(found) if what == "quick" else save("mcg", found))
