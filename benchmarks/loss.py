"""The contrastive loss, forward and backward, beside lightly's and beside its bare matrix products.

    OMP_NUM_THREADS=1 python benchmarks/loss.py         # half an hour; writes results/loss.json
    OMP_NUM_THREADS=1 python benchmarks/loss.py quick   # a minute; writes nothing
    python benchmarks/loss.py table                     # the result as Markdown

How it is measured, and what the figures are: benchmarks/README.md.
"""

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pairs import RESULTS, Pairs, in_pairs, save
from torch import Tensor

from detcon.ops.contrast import contrastive_detection, contrastive_detection_of_both
from detcon.ops.contrast_kernels import _chunks

REGIONS, DIMENSIONS, MASKS = 16, 256, 20
ROWS = [2**k for k in (10, 12, 14, 16)]  # 64 to 4096 photos
SMALL = 2**12  # rows; above, lightly's loss wants more than 6 GiB, and ten pairs many minutes
PEERS = ("floor", "whole_floor", "lightly")


def program(who: str, kind: str, rows: int, device: str = "cpu") -> Callable[[], Any]:
    """One forward and backward pass of `who`: ours, or one of the peers (floors on a CPU alone)."""
    if who.endswith("floor"):
        return floor(kind, rows, whole=who == "whole_floor")
    rng = torch.Generator().manual_seed(0)
    shape = (rows // REGIONS, REGIONS, DIMENSIONS)
    num = 2 if kind == "S" else 4
    vectors = [torch.randn(shape, generator=rng).to(device) for _ in range(num)]
    ids = [torch.randint(MASKS, shape[:2], generator=rng).to(device) for _ in range(2)]
    predictions = [x.requires_grad_() for x in vectors[:2]]
    targets = predictions if kind == "S" else vectors[2:]
    loss = ours if who == "ours" else lightly(kind)

    return lambda: torch.autograd.grad(loss(predictions, targets, ids), predictions)


def ours(predictions: list[Tensor], targets: list[Tensor], ids: list[Tensor]) -> Tensor:
    """Both directions, as `methods.Contrast` has them on one rank."""
    (one, two), (of_one, of_two), (ids_one, ids_two) = predictions, targets, ids
    if targets is predictions:
        return contrastive_detection_of_both(one, two, ids_one, ids_two)
    loss = contrastive_detection(one, of_two, of_one, ids_one, ids_two)
    return loss + contrastive_detection(two, of_one, of_two, ids_two, ids_one)


def lightly(kind: str) -> Callable[..., Tensor]:
    """The peer's module for the same loss; the one for S takes no targets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightly.loss import DetConBLoss, DetConSLoss
    module = (DetConSLoss if kind == "S" else DetConBLoss)(gather_distributed=False)
    return lambda x, targets, ids: module(*x, *([] if kind == "S" else targets), *ids)


def floor(kind: str, rows: int, whole: bool) -> Callable[[], Any]:
    """The bare products, chunk by chunk as ours; all the similarities at once if `whole`."""
    queries, columns = torch.randn(rows, DIMENSIONS), torch.randn(2 * rows, DIMENSIONS)
    d_queries, d_columns = torch.empty_like(queries), torch.zeros(DIMENSIONS, 2 * rows)
    chunks = [slice(0, rows)] if whole else _chunks(rows, 2 * rows)
    matrix = torch.empty(chunks[0].stop, 2 * rows)

    def run() -> None:
        for part in chunks * 2:  # two directions
            query = queries[part]
            logits = torch.mm(query, columns.mT, out=matrix[: len(query)])
            torch.mm(logits, columns, out=d_queries[part])
            if kind == "S":
                d_columns.addmm_(query.mT, logits)

    return run


def fresh(who: str, kind: str, rows: int) -> dict[str, float]:
    """Seconds and the growth of the peak memory, of one run in a process of its own."""
    command = [sys.executable, __file__, "child", who, kind, str(rows)]
    return json.loads(subprocess.check_output(command, text=True))


def child(who: str, kind: str, rows: int) -> dict[str, float]:
    """What `fresh` starts. A run on 4 photos first loads the libraries."""
    program(who, kind, 4 * REGIONS)()
    run = program(who, kind, rows)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = memory("VmRSS"), time.process_time()
    run()
    return {"seconds": time.process_time() - start, "mib": memory("VmHWM") - before}


def memory(field: str) -> float:
    """A line of /proc/self/status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) / 1024 for x in lines if x.startswith(field))


def measure(kind: str, rows: int, runs: int = 10) -> dict[str, Any]:
    """Ours beside each peer that fits: in fresh processes and, if small, paired in this one."""
    peers = PEERS if rows <= SMALL else PEERS[:1]
    repeats = 5 if rows <= SMALL else 3 if rows <= 4 * SMALL else 1
    found = [{who: fresh(who, kind, rows) for who in ("ours", *peers)} for _ in range(repeats)]
    figures: dict[str, Any] = {"kind": kind, "rows": rows}
    for who in ("ours", *peers):
        seconds, mib = ([one[who][x] for one in found] for x in ("seconds", "mib"))
        pairs = Pairs([one["ours"]["seconds"] for one in found], seconds).figures()
        figures[who] = {"mib": median(mib), "seconds": median(seconds), "fresh": pairs}
        if who != "ours" and rows <= SMALL:
            both = (program(x, kind, rows) for x in ("ours", who))
            pairs = in_pairs(*both, runs=runs, clock=time.process_time).figures()
        figures[who]["paired"] = pairs
    return figures


def table(figures: dict[str, Any]) -> str:
    """The result as Markdown: a row for each method and size; ratios with least and greatest."""
    heads = "method | rows | s | MiB | ÷ floor | ÷ floor in one piece | ÷ lightly | (fresh) | MiB ÷"
    lines = [f"| {heads} lightly |", "|---|" + "--:|" * 8]
    ratio = "{ratio:.2f} ({least_ratio:.2f}-{greatest_ratio:.2f})"
    for one in figures["sizes"]:
        mib, seconds = one["ours"]["mib"], one["ours"]["seconds"]
        cells = [f"DetCon-{one['kind']}", one["rows"], f"{seconds:.3g}", f"{mib:.0f}"]
        cells += [ratio.format(**one[x]["paired"]) if x in one else "" for x in PEERS]
        peer = one.get("lightly")
        cells += [ratio.format(**peer["fresh"]), f"{mib / peer['mib']:.3f}"] if peer else ["", ""]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    if what == "child":
        print(json.dumps(child(*sys.argv[2:4], rows=int(sys.argv[4]))))
    elif what == "table":
        print(table(json.loads((RESULTS / "loss.json").read_text())["figures"]))
    elif what == "quick":
        print(table({"sizes": [measure(kind, 1024, runs=3) for kind in "BS"]}))
    else:
        print(save("loss", {"sizes": [measure(kind, rows) for kind in "BS" for rows in ROWS]}))
