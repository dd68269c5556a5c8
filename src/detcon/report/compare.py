"""Compares results: means over seeds, and sentences about them."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from detcon.report.runs import RANDOM, Outcome, Pretraining
from detcon.results.result import written
from detcon.results.statistics import deviation


@dataclass(frozen=True)
class Entry:
    """Results of one backbone with one amount of labels: `values[i]` of seed `seeds[i]`."""

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
        return deviation(self.values)


@dataclass(frozen=True)
class Comparison:
    """All results of one task in one metric."""

    task: str
    metric: str
    unit: str
    entries: tuple[Entry, ...]

    @property
    def amounts(self) -> list[int | None]:
        """The amounts of labels, few first; None, which means all of them, last."""
        return sorted({entry.labels for entry in self.entries}, key=lambda n: n or math.inf)

    @property
    def suffix(self) -> str:
        """The unit, to write behind a number."""
        return f" {self.unit}" if self.unit else ""

    def written(self, value: float) -> str:
        """A value of the metric as text, without its unit."""
        return written(value, self.metric, self.unit)

    def spread(self, entry: Entry, before: str = " ± ", after: str = "") -> str:
        """The standard deviation of an entry between two texts; "" with a single seed."""
        if entry.deviation is None:
            return ""
        return f"{before}{self.written(entry.deviation)}{after}"

    def each(self, entry: Entry) -> str:
        """The value of each seed."""
        return " · ".join(map(self.written, entry.values)) if entry.values[1:] else "one seed"

    def ranked(self, labels: int | None) -> list[Entry]:
        """The entries with this amount of labels, best mean first."""
        entries = [entry for entry in self.entries if entry.labels == labels]
        return sorted(entries, key=lambda entry: -entry.mean)

    def backbones(self) -> list[str]:
        """All backbones, the best with the fewest labels first."""
        ranked = [entry.backbone for n in self.amounts for entry in self.ranked(n)]
        return list(dict.fromkeys(ranked))

    def entry(self, backbone: str, labels: int | None) -> Entry | None:
        """The entry of a backbone and an amount of labels, if there is one."""
        same = (e for e in self.entries if e.backbone == backbone and e.labels == labels)
        return next(same, None)


def compare(outcomes: Iterable[Outcome]) -> list[Comparison]:
    """Groups outcomes by task and metric, then by backbone and labels, in order of appearance.

    Runs of one backbone that differ in more need different names first (`tell_apart`).
    """
    groups: dict[tuple[str, str, str], dict[tuple[str, int | None], dict[int, float]]] = {}
    for outcome in outcomes:
        seeds = groups.setdefault(outcome.group, {})
        key = outcome.backbone, outcome.result.labels
        seeds.setdefault(key, {})[outcome.result.seed] = outcome.result.value
    return [
        Comparison(*group, tuple(_entry(*key, found) for key, found in seeds.items()))
        for group, seeds in groups.items()
    ]


def _entry(backbone: str, labels: int | None, by_seed: Mapping[int, float]) -> Entry:
    seeds = tuple(sorted(by_seed))
    return Entry(backbone, labels, seeds, tuple(by_seed[seed] for seed in seeds))


def tell_apart(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Adds the run's folder to the backbone's name where two runs of a backbone share a seed.

    Their recipes differ, so a mean over both would mix different things.
    """
    times = Counter((*o.group, o.backbone, o.result.labels, o.result.seed) for o in outcomes)
    twice = {key[:4] for key, count in times.items() if count > 1}
    return [
        replace(o, backbone=f"{o.backbone} · {o.run}") if (*o.group, o.backbone) in twice else o
        for o in outcomes
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
    others_too = f" Compared with: {_listed(others)}." if others else ""
    tasks = _listed(list(dict.fromkeys(f"{c.task} ({c.metric})" for c in comparisons)))
    return f"{made}{others_too} Evaluated by {tasks}.".strip()


def _length(run: Pretraining) -> str:
    steps, _ = run.history.curve("step")
    if not steps:
        return run.name
    _, seconds = run.history.curve("seconds")
    time = f" in {_duration(seconds[-1])}" if seconds else ""
    return f"{run.name} ({steps[-1]:,} steps{time})"


def describe(comparison: Comparison, labels: int | None) -> str:
    """Who is best, which means in every seed, or has the highest mean; by how much."""
    best, *others = comparison.ranked(labels)
    unit, written = comparison.suffix, comparison.written
    what = f"In {comparison.task} with {label_words(labels)}, {best.backbone}"
    reached = f"{written(best.mean)}{unit} {comparison.metric}{_over(best)}"
    if not others:
        return f"{what}: {reached}; there is nothing to compare it with."
    rival = next((entry for entry in others if entry.backbone == RANDOM), others[0])
    theirs = f"{written(rival.mean)}{unit}"
    rest = [f"{c.backbone} {written(c.mean)}{unit}" for c in others if c is not rival]
    also = f" The others: {_listed(rest)}." if rest else ""
    plural = best.backbone == RANDOM
    if min(len(best.values), len(rival.values)) == 1:
        verb = "reach" if plural else "reaches"
        return (
            f"{what} {verb} {reached}, {rival.backbone} {theirs}{_over(rival)}. One seed cannot "
            f"tell such a difference from chance.{also}"
        )
    # the difference of the numbers as shown, so that a reader who subtracts them agrees
    points = written(float(written(best.mean)) - float(written(rival.mean)))
    points += " points" if comparison.unit == "%" else unit
    same = len(best.values) == len(rival.values)
    won = f"{points} above {rival.backbone} ({theirs}{'' if same else _over(rival)})"
    if all(0 < wins == seeds for wins, seeds in (_wins(best, other) for other in others)):
        verb = "are best" if plural else "is best"
    else:
        verb = f"{'have' if plural else 'has'} the highest mean"
    return f"{what} {verb}: {reached}, {won}{_ahead(best, rival)}.{also}"


def _wins(best: Entry, rival: Entry) -> tuple[int, int]:
    """In how many of the seeds that both have the one is above the other, and their number."""
    theirs = dict(zip(rival.seeds, rival.values))
    pairs = [(v, theirs[s]) for s, v in zip(best.seeds, best.values) if s in theirs]
    return sum(a > b for a, b in pairs), len(pairs)


def _ahead(best: Entry, rival: Entry) -> str:
    wins, seeds = _wins(best, rival)
    if len(set(best.values)) == len(set(rival.values)) == 1 < seeds:
        return ", the same in every seed"  # a probe of all labels draws nothing
    return "" if seeds < 2 else f", ahead in {wins} of {seeds} seeds"


def _over(entry: Entry) -> str:
    num = len(entry.values)
    return f" on average over {num} seeds" if num > 1 else " with one seed"


def label_words(labels: int | None) -> str:
    """`20 labelled pictures`."""
    if labels is None:
        return "all labelled pictures"
    return f"{labels:,} labelled picture{'s' if labels != 1 else ''}"


def _duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _listed(words: Sequence[str]) -> str:
    """In a sentence; of many the first four.

    >>> _listed(["a"]), _listed("abc"), _listed("abcdef")
    ('a', 'a, b and c', 'a, b, c, d and 2 more')
    """
    if len(words) > 5:
        words = [*words[:4], f"{len(words) - 4} more"]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
