"""A generator of masks beside scikit-image's Felzenszwalb-Huttenlocher segments, stage by stage.

What `felzenszwalb.py` and `mcg.py` share: twelve pictures in memory, CPU time of one thread, pairs
in turn, the tables, and the words `quick` and `table` behind the command.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import cv2
import numpy as np
from jpegs import make_photos
from pairs import RESULTS, in_pairs, save, stage_table

NUM_PHOTOS = 12


class Stages:
    """CPU milliseconds of a photo's stages: `stage("costs", run)` gives what `run` gives."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def __call__(self, stage: str, run: Callable[[], Any]) -> Any:
        start = process_time()
        found = run()
        self.spent[stage] = 1000 * (process_time() - start)
        return found


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        size: Height and width of the pictures.
        ours: Makes the masks of one.
        peer: Makes scikit-image's.
        stages: Makes the masks of one, stage by stage; None leaves the column out.
        same: Whether both have to give the same arrays.
    """

    size: tuple[int, int]
    ours: Callable[[np.ndarray], Any]
    peer: Callable[[np.ndarray], Any]
    stages: Callable[[np.ndarray], Stages] | None = None
    same: bool = False


def main(name: str, ours: str, cases: Mapping[str, Case]) -> None:
    """Measures and writes a result; with `quick` prints it, with `table` prints what was written.

    Args:
        name: Of the result.
        ours: What the table calls our masks.
        cases: By name.
    """
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    if what == "table":
        print(_tables(ours, json.loads((RESULTS / f"{name}.json").read_text())["figures"]))
        return
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = _measure(Path(folder), cases, runs=3 if what == "quick" else 10)
    print(_tables(ours, found) if what == "quick" else save(name, found))


def _measure(folder: Path, cases: Mapping[str, Case], runs: int) -> dict[str, Any]:
    figures: dict[str, Any] = {"peer": {}, "stages": {}}
    for name, case in cases.items():
        source, _ = make_photos(folder / name, case.size, NUM_PHOTOS)
        photos = [source.read(key) for key in source.keys]
        for photo in photos if case.same else ():
            assert np.array_equal(case.ours(photo), case.peer(photo)), "both give the same"
        pairs = in_pairs(
            lambda case=case, photos=photos: [case.ours(photo) for photo in photos],
            lambda case=case, photos=photos: [case.peer(photo) for photo in photos],
            runs=runs, warm_up=1, clock=process_time,
        )  # fmt: skip
        figures["peer"][name] = pairs.figures()
        if case.stages is not None:
            found = [case.stages(photo).spent for photo in photos * 3]
            medians = {stage: median(one[stage] for one in found) for stage in found[0]}
            figures["stages"][name] = medians
    return figures


def _tables(ours: str, figures: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [f"| photo | {ours}, ms | scikit-image, ms | scikit-image / {ours} |"]
    lines.append("|---|--:|--:|--:|")
    for name, one in figures["peer"].items():
        mine, theirs = (1000 * one[f"{who}_seconds"] / NUM_PHOTOS for who in ("ours", "peer"))
        spread = f"{1 / one['greatest_ratio']:.1f}-{1 / one['least_ratio']:.1f}"
        lines.append(f"| {name} | {mine:.1f} | {theirs:.1f} | {1 / one['ratio']:.1f} ({spread}) |")
    lines += ["", *stage_table(figures["stages"], digits=2)]
    return "\n".join(lines)
