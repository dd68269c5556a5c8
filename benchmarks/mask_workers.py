"""Threads or processes for making masks: photos a second of both, with two workers each.

OMP_NUM_THREADS=1 python benchmarks/mask_workers.py         # three minutes; writes a result
OMP_NUM_THREADS=1 python benchmarks/mask_workers.py quick   # one pair; writes nothing

A photo is decoded, segmented (Felzenszwalb, the official settings) and packed, as `detcon masks`
does it. The clock starts with the fifth job's result, when both processes have started; what
starting costs is given apart.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from jpegs import make_photos
from pairs import save

from detcon.masks import Felzenszwalb
from detcon.masks.fill import Job, make_rows
from detcon.photos import Photos
from detcon.workers import in_order

NUM_WORKERS, NUM_PHOTOS, PHOTOS_A_JOB, JOBS_BEFORE = 2, 24, 8, 4
ROUNDS = 5  # the same photos so many times in a run


def run(how: Callable, photos: Photos, num_workers: int) -> tuple[float, float]:
    """Seconds to the first result, and photos a second when all are at work."""
    parts = [photos.part(i, i + PHOTOS_A_JOB) for i in range(0, len(photos), PHOTOS_A_JOB)]
    jobs = [Job(0, part, Felzenszwalb()) for part in parts * ROUNDS]
    ends, begin = [], time.perf_counter()
    for _ in how(make_rows, jobs, num_workers=num_workers):
        ends.append(time.perf_counter())
    steady = (len(jobs) - 1 - JOBS_BEFORE) * PHOTOS_A_JOB / (ends[-1] - ends[JOBS_BEFORE])
    return ends[0] - begin, steady


def measure(folder: Path, pairs: int) -> dict[str, Any]:
    """Both in turn, who begins alternates; the first pair warms up."""
    photos, _ = make_photos(folder, (375, 500), NUM_PHOTOS)
    ways = {"processes": in_order, "threads": partial(in_order, threads=True)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for pair in range(pairs + 1):
        for name in list(ways)[:: 1 if pair % 2 else -1]:
            found[name].append(run(ways[name], photos, NUM_WORKERS))
    figures: dict[str, Any] = {}
    for name, runs in found.items():
        figures[f"{name}_photos_a_second"] = median(steady for _, steady in runs[1:])
        figures[f"{name}_seconds_to_first"] = median(first for first, _ in runs[1:])
    both = zip(found["threads"][1:], found["processes"][1:])
    ratios = [threads / processes for (_, threads), (_, processes) in both]
    return {
        **figures,
        "threads_over_processes": median(ratios),
        "least_ratio": min(ratios),
        "greatest_ratio": max(ratios),
        "pairs": len(ratios),
        "workers": NUM_WORKERS,
        "photo": "500 x 375",
    }


if __name__ == "__main__":
    quick = sys.argv[1:] == ["quick"]
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), 1 if quick else 5)
    print(json.dumps(found, indent=1) if quick else save("mask_workers", found).read_text())
