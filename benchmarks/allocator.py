"""Updates on a CPU with memory that is kept when it is freed, beside glibc's own way.

OMP_NUM_THREADS=1 python benchmarks/allocator.py             # a quarter of an hour; writes a result
OMP_NUM_THREADS=1 python benchmarks/allocator.py quick       # one pair; writes nothing
python benchmarks/allocator.py table                         # the table of docs/performance.md

`fit` with DetCon-S on a ready batch, as `step.py` makes it, bf16. Each run is a process of its own;
the two ways take turns. glibc's own way is what a user has who sets one of its tunables: here
glibc.malloc.perturb=0, which changes nothing else.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pairs import RESULTS, Pairs, save
from step import LOOP, WARM_UP, make_batch

from detcon.data.batch import Batch
from detcon.methods.compositions import detcon_s
from detcon.models.encoders import build_encoder, feature_grid
from detcon.models.recipe import EncoderRecipe
from detcon.train.loop import fit
from detcon.train.plan import Plan
from detcon.train.recipe import AdamW, Cosine

UPDATES, PAIRS = 8, 5
CASES = {
    "resnet18, 96 px, batch 64": ("resnet18", 96, 64),
    "resnet50, 224 px, batch 16": ("resnet50", 224, 16),
    "efficientnet_lite0, 224 px, batch 32": ("efficientnet_lite0", 224, 32),
}
GLIBC = {"GLIBC_TUNABLES": "glibc.malloc.perturb=0"}


def run_one(case: str) -> dict[str, float]:
    """Seconds of an update, of them in the kernel, and the peak of memory in GiB."""
    name, size, num = CASES[case]
    torch.manual_seed(0)
    encoder = build_encoder(EncoderRecipe(name=name))
    batch = make_batch("detcon_s", size, num, feature_grid(encoder, size))
    seconds: list[float] = []
    kernel: list[float] = []

    def ready(first: int) -> Iterator[Batch]:
        for update in range(WARM_UP + UPDATES + 1):
            start, system = time.perf_counter(), os.times().system
            yield batch
            if update >= WARM_UP:
                seconds.append(time.perf_counter() - start)
                kernel.append(os.times().system - system)

    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(
            steps=WARM_UP + UPDATES + 1,
            optimizer=AdamW(lr=1e-3),
            schedule=Cosine(),
            loop=LOOP,
            batch_size=num,
        )
        fit(detcon_s(encoder), ready, plan=plan, folder=Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": median(seconds), "kernel": median(kernel), "GiB": peak}


def started(case: str, own: dict[str, str]) -> dict[str, float]:
    """A run in a process of its own."""
    words = [sys.executable, __file__, "one", case]
    printed = subprocess.check_output(words, env={**os.environ, **own}, text=True)
    return json.loads(printed.splitlines()[-1])


def measure(pairs: int) -> dict[str, Any]:
    """By case: seconds and memory of both ways, and their ratio, pair by pair."""
    figures = {}
    for case in CASES:
        turns = []
        for pair in range(pairs):
            ways = [("kept", {}), ("glibc", GLIBC)][:: -1 if pair % 2 else 1]
            turns.append({way: started(case, own) for way, own in ways})
        of = {
            way: [[turn[way][what] for turn in turns] for what in ("seconds", "kernel", "GiB")]
            for way in ("kept", "glibc")
        }
        figures[case] = {
            **Pairs(of["kept"][0], of["glibc"][0]).figures(),
            **{f"{way}_kernel_seconds": median(of[way][1]) for way in of},
            **{f"{way}_GiB": median(of[way][2]) for way in of},
        }
        print(case, json.dumps(figures[case]), flush=True)
    return figures


def table() -> str:
    """Markdown, of the committed result."""
    lines = [
        "| network | an update, s | glibc's own way, s | glibc / ours | least to greatest | "
        "of it in the kernel, s | peak, GiB |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for case, f in json.loads((RESULTS / "allocator.json").read_text())["figures"].items():
        lines.append(
            f"| {case} | {f['ours_seconds']:.2f} | {f['peer_seconds']:.2f} | {1 / f['ratio']:.2f} "
            f"| {1 / f['greatest_ratio']:.2f} to {1 / f['least_ratio']:.2f} | "
            f"{f['kept_kernel_seconds']:.2f}, {f['glibc_kernel_seconds']:.2f} | "
            f"{f['kept_GiB']:.2f}, {f['glibc_GiB']:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["one", case]:
            print(json.dumps(run_one(case)))
        case ["table"]:
            print(table())
        case ["quick"]:
            measure(1)
        case _:
            print(save("allocator", measure(PAIRS)))
