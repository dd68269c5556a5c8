"""Threads in place of worker processes: start, photos a second, and memory, in turns.

python benchmarks/threads.py             # seven minutes of two free cores; writes a result
python benchmarks/threads.py quick       # one round; writes nothing
python benchmarks/threads.py table       # the table of docs/performance.md

Two workers make batches of 64 photos, two views each: as forked processes, as a run has them
(`detcon.data.workers`), or as threads of the one process, which is a dozen lines here. `alone`
takes batches as fast as they come; `beside a step` makes one update of DetCon-S with each
(ResNet-18 of a quarter of its width, 96 px, bf16, one thread), as a small network on a CPU does.
Each figure is a process of its own, which has imported everything before the clock starts; memory
is the proportional set size of the process and its children, less that before the clock starts.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import torch
from jpegs import make_photos, our_views
from pairs import RESULTS, save

from detcon.data.batch import Batch
from detcon.data.loader import _batch, _order
from detcon.data.workers import make_ahead
from detcon.masks.store import MaskStore
from detcon.methods.compositions import detcon_s
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe
from detcon.photos import open_photos
from detcon.train.optim import build_optimizer
from detcon.train.recipe import AdamW

BATCH, WORKERS, ROUNDS, AHEAD = 64, 2, 3, 2
CASES = {
    "JPEG of 500 x 375, 224 px": ("large", 224, "JPEG", 12),
    "JPEG of 160 x 160, 96 px": ("small", 96, "JPEG", 40),
    "memory, 96 px": ("small", 96, "memory", 60),
}
USES = ("alone", "beside a step")


def in_threads(
    make: Callable[[Any], Batch], places: Iterable[Any], *, workers: int
) -> Iterator[Batch]:
    """Yields `make(place)` for each place, in order, made by threads."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Batch]] = deque()
        for place in places:
            waiting.append(pool.submit(make, place))
            if len(waiting) == AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


WAYS = {"processes": make_ahead, "threads": in_threads}


def run_one(folder: Path, case: str, way: str, use: str) -> dict[str, float]:
    """One way, in this process."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    size, pixels, place, batches = CASES[case]
    photos = open_photos(f"{folder}/{size}/images")
    dataset = our_views(photos, MaskStore(f"{folder}/{size}/masks"), pixels, place=place)
    dataset[0, 0]  # compiled, or found in the cache
    update = lambda batch: None  # noqa: E731
    if use == "beside a step":
        update, batches = step(), batches // 3
    order = list(_order(len(dataset), BATCH, 0, range(batches), rank=0, world=1))
    before, start = memory(), time.perf_counter()
    made = WAYS[way](partial(_batch, dataset), order, workers=WORKERS)
    update(next(made))
    first = time.perf_counter() - start
    most = memory()
    for number, batch in enumerate(made):
        update(batch)
        if number == batches // 2:
            most = max(most, memory())
    seconds = time.perf_counter() - start - first
    return {
        "first_seconds": first,
        "photos_per_second": BATCH * (batches - 1) / seconds,
        "mib": most - before,
    }


def step() -> Callable[[Batch], None]:
    """One update from a batch."""
    method = detcon_s(build_encoder(EncoderRecipe(name="resnet18", width=0.25)))
    method.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(AdamW(lr=1e-4), method, BATCH)

    def run(batch: Batch) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = method(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return run


def memory() -> float:
    """MiB of this process and its children, shared pages divided among those that share them."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    found = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in ["self", *children]]
    return sum(int(re.findall(r"^Pss:\s+(\d+)", text, re.M)[0]) for text in found) / 1024


def measure(rounds: int, uses: Iterable[str] = USES) -> dict[str, Any]:
    """Medians of each way, and the ratios of threads to processes, round by round."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        make_photos(Path(name) / "large", (375, 500), BATCH)
        make_photos(Path(name) / "small", (160, 160), BATCH)
        for case in CASES:
            for use in uses:
                one = [{way: started(name, case, way, use) for way in WAYS} for _ in range(rounds)]
                figures[f"{case}, {use}"] = {
                    figure: {
                        **{way: median(both[way][figure] for both in one) for way in WAYS},
                        **_spread(
                            [both["threads"][figure] / both["processes"][figure] for both in one]
                        ),
                    }
                    for figure in ("first_seconds", "photos_per_second", "mib")
                }
    return figures


def started(*words: str) -> dict[str, float]:
    found = json.loads(subprocess.check_output([sys.executable, __file__, "one", *words]))
    print(*words[1:], found, flush=True)
    return found


def _spread(ratios: list[float]) -> dict[str, float]:
    return {"ratio": median(ratios), "least_ratio": min(ratios), "greatest_ratio": max(ratios)}


def table() -> str:
    """Markdown, of the committed result."""
    found = json.loads((RESULTS / "threads.json").read_text())["figures"]
    lines = [
        "| photos | photos/s of processes | of threads | threads ÷ processes "
        "| s to the first | of threads | MiB | of threads |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for case, one in found.items():
        rate, first, mib = (one[name] for name in ("photos_per_second", "first_seconds", "mib"))
        spread = f"{rate['ratio']:.2f} ({rate['least_ratio']:.2f}-{rate['greatest_ratio']:.2f})"
        lines.append(
            f"| {case} | {rate['processes']:.0f} | {rate['threads']:.0f} | {spread} "
            f"| {first['processes']:.2f} | {first['threads']:.2f} "
            f"| {mib['processes']:.0f} | {mib['threads']:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["one", folder, case, way, use]:
            print(json.dumps(run_one(Path(folder), case, way, use)))
        case ["table"]:
            print(table())
        case ["quick"]:
            print(json.dumps(measure(1), indent=1))
        case _:
            print(save("threads", measure(ROUNDS)))
