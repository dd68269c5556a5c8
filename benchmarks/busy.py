"""Training beside another busy process: how torch's threads wait for each other.

python benchmarks/busy.py             # five minutes of two cores; writes a result
python benchmarks/busy.py quick       # one round; writes nothing
python benchmarks/busy.py table       # the table of docs/performance.md

Updates of DetCon-S (ResNet-18 of a quarter of its width, 96 px, bf16, batches of 64) for two
seconds, alone and beside a process that does nothing but count, on all cores of this machine: with
as many threads as cores that wait actively (OpenMP's default), passively
(`OMP_WAIT_POLICY=passive`), and with one thread. `ready` has its batch already, `workers` two
processes that make batches of photos in memory. Ways take turns; each is a process of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from jpegs import make_photos, our_views
from pairs import RESULTS, save
from threads import BATCH, step

from detcon.data.loader import _batch, _order
from detcon.data.workers import make_ahead
from detcon.masks.store import MaskStore
from detcon.photos import open_photos
from detcon.workers import num_cores

SECONDS, WARM_UP, ROUNDS, BUSY = 2.0, 2, 3, "while True: pass"
ALL = {"OMP_NUM_THREADS": str(num_cores())}
WAYS = {
    "all cores, as OpenMP has it": ALL,
    "all cores, passive": {**ALL, "OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
USES = {"ready": 0, "workers": 2}


def run_one(folder: Path, workers: int) -> float:
    """Photos a second, in this process."""
    photos = open_photos(f"{folder}/images")
    dataset = our_views(photos, MaskStore(f"{folder}/masks"), 96, place="memory")
    update, make = step(), partial(_batch, dataset)
    order = _order(len(dataset), BATCH, 0, range(100_000), rank=0, world=1)
    ready = make(next(order))
    batches = make_ahead(make, order, workers=workers) if workers else iter(lambda: ready, None)
    for _ in range(WARM_UP):
        update(next(batches))
    start, updates = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < SECONDS:
        update(next(batches))
        updates += 1
    return updates * BATCH / seconds


def started(folder: str, use: str, way: str) -> float:
    words = [sys.executable, __file__, "one", folder, str(USES[use])]
    free = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    found = float(subprocess.check_output(words, env={**free, **WAYS[way]}))
    print(f"{use}, {way}: {found:.0f}", flush=True)
    return found


def measure(rounds: int) -> dict[str, Any]:
    """Medians of photos a second, and the ratios to as OpenMP has it, round by round."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        make_photos(Path(name) / "small", (160, 160), BATCH)
        for others in (0, 1):
            busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(others)]
            try:
                for use in USES:
                    found = [
                        {way: started(f"{name}/small", use, way) for way in WAYS}
                        for _ in range(rounds)
                    ]
                    figures[f"{use}, {others or 'none'} busy"] = {
                        way: {
                            "photos_per_second": median(one[way] for one in found),
                            **_spread(
                                [one[way] / one["all cores, as OpenMP has it"] for one in found]
                            ),
                        }
                        for way in WAYS
                    }
            finally:
                for process in busy:
                    process.kill()
    return figures


def _spread(ratios: list[float]) -> dict[str, float]:
    return {"ratio": median(ratios), "least_ratio": min(ratios), "greatest_ratio": max(ratios)}


def table() -> str:
    """Markdown, of the committed result."""
    found = json.loads((RESULTS / "busy.json").read_text())["figures"]
    lines = [f"| batches, other processes | {' | '.join(WAYS)} |", "|---|" + "--:|" * len(WAYS)]
    for case, ways in found.items():
        cells = [
            f"{f['photos_per_second']:.0f}"
            + (f" ({f['least_ratio']:.2f}-{f['greatest_ratio']:.2f})" if f["ratio"] != 1 else "")
            for f in ways.values()
        ]
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["one", folder, workers]:
            print(run_one(Path(folder), int(workers)))
        case ["table"]:
            print(table())
        case ["quick"]:
            print(json.dumps(measure(1), indent=1))
        case _:
            print(save("busy", measure(ROUNDS)))
