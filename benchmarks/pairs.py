"""Paired timing: two programs take turns in one run, so that the machine's moods hit both.

A figure is the median of the ratios of the pairs; with it go the least and the greatest, the
versions, the machine and the command, into `benchmarks/results/NAME.json`.
"""

import gc
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    *("detcon", "torch", "torchvision", "lightly", "numpy", "numba", "scikit-image"),
    "opencv-python-headless",
)


@dataclass(frozen=True)
class Pairs:
    """Seconds of ours and of the peer's, pair by pair."""

    ours: list[float]
    peer: list[float]

    def figures(self) -> dict[str, Any]:
        """The medians, and the ratio of ours to the peer's with its spread."""
        ratios = [a / b for a, b in zip(self.ours, self.peer, strict=True)]
        return {
            "ours_seconds": median(self.ours),
            "peer_seconds": median(self.peer),
            "ratio": median(ratios),
            "least_ratio": min(ratios),
            "greatest_ratio": max(ratios),
            "pairs": len(ratios),
        }


def in_pairs(
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    *,
    runs: int = 10,
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> Pairs:
    """Runs both in turn; who begins alternates.

    Args:
        ours: What is judged.
        peer: What it is held against: a named peer, or a floor.
        runs: Pairs that count.
        warm_up: Pairs before, that don't.
        clock: `time.perf_counter`, or `time.process_time` for the CPU time of all threads.
    """
    seconds: dict[int, list[float]] = {0: [], 1: []}
    for run in range(warm_up + runs):
        for who in (0, 1) if run % 2 else (1, 0):
            gc.collect()
            start = clock()
            (ours, peer)[who]()
            if run >= warm_up:
                seconds[who].append(clock() - start)
    return Pairs(seconds[0], seconds[1])


def asked(name: str) -> list[str]:
    """The parts of the word `name=A,B` or `name=[A,B]` of the command line; none without it."""
    values = [word.partition("=")[2] for word in sys.argv[1:] if word.startswith(f"{name}=")]
    return values[-1].strip("[]").split(",") if values else []


def save(name: str, figures: dict[str, Any]) -> Path:
    """Writes a result with all that is needed to repeat and to judge it."""
    path = RESULTS / f"{name}.json"
    words = [re.sub(r"/[^\s,]*/", "", word) for word in sys.argv[1:]]  # no paths of this machine
    line = {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words]),
        "machine": machine(),
        "versions": versions(),
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(line, indent=1) + "\n")
    return path


def machine() -> dict[str, Any]:
    """Processor, cores, threads; no name of a host."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        processor = models[0].partition(":")[2].strip() if models else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Those packages that a figure may depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except ImportError:
            continue
    return found


def stage_table(columns: dict[str, dict[str, float]], digits: int) -> list[str]:
    """Markdown lines: a row for each stage, a column for each case, CPU milliseconds a photo."""
    lines = [f"| CPU ms a photo | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    for stage in next(iter(columns.values())):
        cells = [f"{one[stage]:.{digits}f}" if stage in one else "" for one in columns.values()]
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return lines
