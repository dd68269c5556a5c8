"""Where the time of pretraining runs went, from the steps that were timed part by part."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import mul
from statistics import fmean
from typing import Any

from detcon.report.figures import plot_stacked
from detcon.report.plots import Plot
from detcon.report.runs import Pretraining
from detcon.results.history import History

PREFIX = "time_"
WORK = ("reading", "cutting")  # of the processes that make batches
FIGURES = "figures without labels"
_BEFORE = ("waiting", *WORK, "colour", "forward", "loss", "backward", "optimizer")
PARTS = (*_BEFORE, "probes", "rest")
CAPTION = (
    "Mean seconds of a step. Colour, forward (with the target or teacher), loss, backward and "
    "optimizer are means over the logged steps, which are timed; waiting for data is of all steps; "
    "probes or figures without labels are all that the run measured, before its first step and "
    "after its last one too, divided by its steps; the rest is what is left between the first log "
    "and the last one: logs, checkpoints, checks. Where workers make the batches, a bar of their "
    "own shows how long all of them together take for one, while the step runs: if that is longer "
    "than the step, the step waits."
)


def plot_times(runs: Sequence[Pretraining]) -> list[Plot]:
    """One stacked bar a run, and one of its workers; nothing where no run was timed."""
    bars: dict[str, Mapping[str, float]] = {}
    for run in runs:
        workers = run.recipe.get("workers", 0)
        step = seconds_a_step(run.history, workers=workers)
        if not step:
            continue
        if run.recipe.get("probing") is None:  # what was measured aside needed no labels
            step = {FIGURES if part == "probes" else part: step[part] for part in step}
        bars[run.name] = {part: value for part, value in step.items() if part not in WORK}
        work = {part: step[part] for part in WORK if part in step}
        if workers and any(work.values()):
            bars[f"{run.name}, {workers} worker{'s' * (workers > 1)}"] = work
        else:
            bars[run.name] = step
    if not bars:
        return []
    parts = (*_BEFORE, "probes", FIGURES, "rest")
    address = plot_stacked(bars, parts, label="seconds a step")
    sums = ", ".join(f"{name} {sum(parts.values()):.3g} s" for name, parts in bars.items())
    return [Plot("Where the time went", address, CAPTION, f"Seconds a step by part: {sums}")]


def seconds_a_step(history: History, *, workers: int) -> dict[str, float]:
    """The mean seconds of a step by part, in the order of `PARTS`; empty where none was timed.

    All but the probes, and "reading" and "cutting" of workers, add up to the time between the first
    log and the last one without that of probes, which are those of the whole run. Without workers
    reading and cutting are parts of the waiting, and taken out of it; else they are divided by the
    number of workers, who do them at the same time.
    """
    rows = [row for row in history.rows if "seconds" in row]
    timed = [row for row in rows if f"{PREFIX}backward" in row]
    if not timed or len(rows) < 2:
        return {}
    steps = rows[-1]["step"] - rows[0]["step"]
    parts = {
        part: fmean(row.get(f"{PREFIX}{part}", 0.0) for row in timed)
        for part in PARTS
        if f"{PREFIX}{part}" in timed[0]
    }
    lasted = [_lasted(history, *both) for both in pairwise(rows)]
    waits = [row.get("data_wait", 0.0) for row in rows[1:]]
    parts["waiting"] = sum(map(mul, waits, lasted)) / steps
    work = [part for part in WORK if part in parts]
    for part in work:
        if workers:
            parts[part] /= workers
        else:
            parts["waiting"] = max(0.0, parts["waiting"] - parts[part])
    used = sum(
        seconds
        for part, seconds in parts.items()
        if part != "rest" and not (workers and part in work)
    )
    parts["rest"] = max(0.0, sum(lasted) / steps - used)
    made = max(row["step"] for row in history.rows)
    parts["probes"] = sum(row.get("probe_seconds", 0.0) for row in history.rows) / made
    return {part: parts[part] for part in PARTS if part in parts}


def _lasted(history: History, before: Mapping[str, Any], row: Mapping[str, Any]) -> float:
    """Seconds between two logs without those of probes, which come after the log of their step."""
    probes = sum(
        one.get("probe_seconds", 0.0)
        for one in history.rows
        if before["step"] <= one["step"] < row["step"]
    )
    return max(0.0, row["seconds"] - before["seconds"] - probes)
