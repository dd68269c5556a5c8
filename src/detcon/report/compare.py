"""What the results say: means over seeds, and sentences whose every number is computed."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from detcon.report.runs import RANDOM, Pretraining, Result

LOWER_IS_BETTER = frozenset({"rmse", "mae", "abs_rel", "absrel", "log10", "loss"})


@dataclass(frozen=True)
class Cell:
    """What one backbone reached with one amount of labels: `values[i]` by seed `seeds[i]`."""

    backbone: str
    labels: int | None
    seeds: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return math.fsum(self.values) / len(self.values)

    @property
    def deviation(self) -> float | None:
        """The standard deviation over seeds, dividing by one less; None with a single seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Comparison:
    """All results of one task in one metric."""

    task: str
    metric: str
    unit: str
    cells: tuple[Cell, ...]

    @property
    def amounts(self) -> list[int | None]:
        """The amounts of labels, few first; None, which means all of them, last."""
        return sorted({cell.labels for cell in self.cells}, key=lambda n: n or math.inf)

    @property
    def suffix(self) -> str:
        """What to write behind a number."""
        return f" {self.unit}" if self.unit else ""

    def written(self, value: float) -> str:
        """A number with as many digits as mean something."""
        return f"{value:.1f}" if self.unit == "%" else f"{value:.3f}"

    @property
    def lower_is_better(self) -> bool:
        """Whether the metric is an error."""
        return self.metric.lower() in LOWER_IS_BETTER

    def ranked(self, labels: int | None) -> list[Cell]:
        """The backbones that were given so many labels, best mean first."""
        cells = [cell for cell in self.cells if cell.labels == labels]
        return sorted(cells, key=lambda cell: cell.mean if self.lower_is_better else -cell.mean)

    def backbones(self) -> list[str]:
        """All backbones, the best with the fewest labels first."""
        ranked = [cell.backbone for n in self.amounts for cell in self.ranked(n)]
        return list(dict.fromkeys(ranked))

    def cell(self, backbone: str, labels: int | None) -> Cell | None:
        """One entry of the table, if there is one."""
        same = (c for c in self.cells if c.backbone == backbone and c.labels == labels)
        return next(same, None)


def compare(results: Iterable[Result]) -> list[Comparison]:
    """Groups results by task and metric, then by backbone and labels, in order of appearance.

    Runs of one backbone that differ in more should have been told apart.
    """
    groups: dict[tuple[str, str, str], dict[tuple[str, int | None], list[Result]]] = {}
    for result in results:
        cells = groups.setdefault((result.task, result.metric, result.unit), {})
        cells.setdefault((result.backbone, result.labels), []).append(result)
    return [
        Comparison(*group, tuple(_cell(*key, found) for key, found in cells.items()))
        for group, cells in groups.items()
    ]


def _cell(backbone: str, labels: int | None, results: Sequence[Result]) -> Cell:
    results = sorted(results, key=lambda result: result.seed)
    return Cell(backbone, labels, tuple(r.seed for r in results), tuple(r.value for r in results))


def tell_apart(results: Sequence[Result]) -> list[Result]:
    """Adds the run's folder to the backbone's name where two runs of it share a seed.

    Their recipes differ then, and a mean over both would be a mean over different things.
    """
    times = Counter((r.task, r.metric, r.backbone, r.labels, r.seed) for r in results)
    twice = {key[:3] for key, count in times.items() if count > 1}
    return [
        replace(r, backbone=f"{r.backbone} · {r.run}")
        if (r.task, r.metric, r.backbone) in twice
        else r
        for r in results
    ]


def summarise(pretrainings: Sequence[Pretraining], comparisons: Sequence[Comparison]) -> list[str]:
    """What was compared, then one sentence a task and amount of labels."""
    sentences = [_compared(pretrainings, comparisons)]
    for comparison in comparisons:
        sentences += [describe(comparison, labels) for labels in comparison.amounts]
    return sentences


def _compared(pretrainings: Sequence[Pretraining], comparisons: Sequence[Comparison]) -> str:
    lengths = [_length(run) for run in pretrainings]
    made = f"Pretrained without labels: {_listed(lengths)}." if lengths else ""
    if not comparisons:
        return f"{made} No transfer result is among these runs yet."
    others = [b for c in comparisons for b in c.backbones()]
    others = [b for b in dict.fromkeys(others) if b not in {run.name for run in pretrainings}]
    beside = f" Beside {'them' if made else 'each other'}: {_listed(others)}." if others else ""
    tasks = _listed(list(dict.fromkeys(f"{c.task} ({c.metric})" for c in comparisons)))
    return f"{made}{beside} Judged by {tasks}.".strip()


def _length(run: Pretraining) -> str:
    steps, _ = run.history.curve("step")
    if not steps:
        return run.name
    _, seconds = run.history.curve("seconds")
    time = f" in {duration(seconds[-1])}" if seconds else ""
    return f"{run.name} ({steps[-1]:,} steps{time})"


def describe(comparison: Comparison, labels: int | None) -> str:
    """Who is best, by how much, and in how many seeds."""
    best, *others = comparison.ranked(labels)
    unit, written = comparison.suffix, comparison.written
    what = f"{comparison.task} with {label_words(labels)}"
    reached = f"{written(best.mean)}{unit} {comparison.metric}{_over(best)}"
    if not others:
        return f"In {what}, {best.backbone}: {reached}; there is nothing to compare it with."
    rival = next((cell for cell in others if cell.backbone == RANDOM), others[0])
    points = written(abs(best.mean - rival.mean)) + (" points" if comparison.unit == "%" else unit)
    side = "below" if comparison.lower_is_better else "above"
    won = f"{points} {side} {rival.backbone} ({written(rival.mean)}{unit}{_over(rival)})"
    ahead = _ahead(comparison, best, rival)
    verb = "are" if best.backbone == RANDOM else "is"
    rest = [f"{c.backbone} {written(c.mean)}{unit}" for c in others if c is not rival]
    also = f" The others: {_listed(rest)}." if rest else ""
    return f"In {what}, {best.backbone} {verb} best: {reached}, {won}{ahead}.{also}"


def _ahead(comparison: Comparison, best: Cell, rival: Cell) -> str:
    theirs = dict(zip(rival.seeds, rival.values))
    pairs = [(v, theirs[s]) for s, v in zip(best.seeds, best.values) if s in theirs]
    if len(pairs) < 2:
        return ""
    wins = sum((a < b) if comparison.lower_is_better else (a > b) for a, b in pairs)
    return f", ahead in {wins} of {len(pairs)} seeds"


def _over(cell: Cell) -> str:
    return f" on average over {len(cell.values)} seeds" if len(cell.values) > 1 else " (one seed)"


def label_words(labels: int | None) -> str:
    """`20 labelled pictures`."""
    if labels is None:
        return "all labelled pictures"
    return f"{labels:,} labelled picture{'s' if labels != 1 else ''}"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
