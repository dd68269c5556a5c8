"""Making masks with two workers, threads or processes, beside one; and how memory grows.

OMP_NUM_THREADS=1 python benchmarks/mask_workers.py         # five minutes; writes a result
OMP_NUM_THREADS=1 python benchmarks/mask_workers.py quick   # one round; writes nothing
python benchmarks/mask_workers.py table                     # the result as Markdown

A photo of 500 x 375 is decoded, segmented and packed, as `detcon masks` does it, by the recipes of
FH and MCG; `segments alone` are FH's of photos in memory. One worker, two threads and two processes
take turns, the order alternates. The clock starts with the fifth job's result, when both processes
have started; what starting costs is given apart. Nothing else should run on the machine's cores.

Memory is the peak of a fresh process that fills a store with the masks of tiny photos in a tar:
what it grows by from 2,000 to 20,000 photos is the list of photos and the index.
"""

import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from jpegs import make_photos
from pairs import RESULTS, save

from detcon.config import load_recipe
from detcon.masks.recipe import MasksRecipe
from detcon.masks.sources.graph_segments import segment_photo
from detcon.masks.store.fill import MasksJob, make_rows
from detcon.photos import Photos
from detcon.workers import in_order

NUM_PHOTOS, PHOTOS_A_JOB, JOBS_BEFORE = 24, 8, 4
REPEATS, ROUNDS = 6, 5  # the same photos so many times in a run; runs of each way
WAYS = {
    "one worker": partial(in_order, num_workers=1),
    "two threads": partial(in_order, num_workers=2, threads=True),
    "two processes": partial(in_order, num_workers=2),
}
FILL = """
import re, sys
from pathlib import Path
from detcon.masks.store import fill
fill._FEW_PHOTOS = sys.maxsize  # threads, so that all memory is this process's
fill.make_masks(images=sys.argv[1], out=sys.argv[2], workers=2, generator={"kind": "grid"})
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def segment(photos: Sequence[np.ndarray]) -> None:
    for photo in photos:
        segment_photo(photo, [(1000.0, 1000)])


def cases(photos: Photos) -> dict[str, tuple[Callable, list, list[str]]]:
    """What a job does, the jobs, and the ways to go about it."""
    parts = [photos.part(i, i + PHOTOS_A_JOB) for i in range(0, len(photos), PHOTOS_A_JOB)]
    decoded = [[photos.read(key) for key in part] for part in parts]
    found: dict[str, tuple[Callable, list, list[str]]] = {
        "FH, segments alone": (segment, decoded * REPEATS, ["one worker", "two threads"])
    }
    for name, recipe in (("FH", "felzenszwalb"), ("MCG", "mcg")):
        path = f"recipes/masks/{recipe}.yaml"
        settings = load_recipe(MasksRecipe, path, {"images": "-", "out": "-"})
        jobs = [MasksJob(0, part, settings.generator) for part in parts * REPEATS]
        found[name] = (make_rows, jobs, list(WAYS))
    return found


def run(how: Callable, work: Callable, jobs: list) -> tuple[float, float]:
    """Seconds to the first result, and photos a second when all are at work."""
    ends, begin = [], time.perf_counter()
    for _ in how(work, jobs):
        ends.append(time.perf_counter())
    steady = (len(jobs) - 1 - JOBS_BEFORE) * PHOTOS_A_JOB / (ends[-1] - ends[JOBS_BEFORE])
    return ends[0] - begin, steady


def measure_speed(folder: Path, rounds: int) -> dict[str, Any]:
    """All ways in turn; the first round warms up."""
    photos, _ = make_photos(folder, (375, 500), NUM_PHOTOS)
    figures: dict[str, Any] = {}
    for name, (work, jobs, ways) in cases(photos).items():
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for number in range(rounds + 1):
            for way in ways[:: 1 if number % 2 else -1]:
                found[way].append(run(WAYS[way], work, jobs))
        one = [steady for _, steady in found["one worker"][1:]]
        figures[name] = {}
        for way, runs in found.items():
            firsts, steadies = zip(*runs[1:])
            ratios = [a / b for a, b in zip(steadies, one)]
            figures[name][way] = {
                "photos_a_second": median(steadies),
                "seconds_to_first": median(firsts),
                "over_one_worker": [median(ratios), min(ratios), max(ratios)],
            }
    return figures


def measure_memory(folder: Path, nums: Sequence[int]) -> dict[str, float]:
    """MiB of a fresh process at its peak, by number of photos."""
    photo = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    peaks = {}
    for num in nums:
        with tarfile.open(folder / f"{num}.tar", "w") as tar:
            for number in range(num):
                member = tarfile.TarInfo(f"n01440764/n01440764_{number:06d}.png")
                member.size = len(photo)
                tar.addfile(member, io.BytesIO(photo))
        words = [sys.executable, "-c", FILL, str(folder / f"{num}.tar"), str(folder / str(num))]
        peaks[str(num)] = int(subprocess.check_output(words)) / 1024
    return peaks


def table(figures: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = ["| masks | workers | photos/s | ÷ one worker | s to the first |"]
    lines.append("|---|---|--:|--:|--:|")
    for name, ways in figures["speed"].items():
        for way, one in ways.items():
            ratio, least, greatest = one["over_one_worker"]
            spread = "" if way == "one worker" else f"{ratio:.2f} ({least:.2f}-{greatest:.2f})"
            speed, first = one["photos_a_second"], one["seconds_to_first"]
            lines.append(f"| {name} | {way} | {speed:.1f} | {spread} | {first:.1f} |")
    return "\n".join([*lines, "", f"MiB at the peak, by photos: {figures['peak_mib']}"])


def main(what: str) -> None:
    if what == "table":
        print(table(json.loads((RESULTS / "mask_workers.json").read_text())["figures"]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        speed = measure_speed(folder / "photos", 1 if what == "quick" else ROUNDS)
        found = {"speed": speed, "peak_mib": measure_memory(folder, (200, 2_000, 20_000))}
    print(table(found))
    if what != "quick":
        print(save("mask_workers", found))


if __name__ == "__main__":
    main("".join(sys.argv[1:2]))
