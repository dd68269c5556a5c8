"""Compares results: means over seeds, and sentences about them."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from detcon.notes import counted
from detcon.report.runs import Outcome, Pretraining
from detcon.results.difference import RANDOM, compare_backbones, label_words
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

    def best(self, labels: int | None) -> Entry | None:
        """The entry with the highest mean as written; None where another's is the same."""
        first, *others = self.ranked(labels)
        same = others and self.written(others[0].mean) == self.written(first.mean)
        return None if same else first

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

    Their recipes differ, so a mean over both would mix different things. One of the same recipe and
    value, as where two adaptations were judged beside their start, is left out.
    """
    once = {(*_key(o), o.result.recipe, o.result.value): o for o in reversed(outcomes)}
    outcomes = [o for o in outcomes if any(o is one for one in once.values())]
    times = Counter(map(_key, outcomes))
    twice = {key[:4] for key, count in times.items() if count > 1}
    return [
        replace(o, backbone=f"{o.backbone} · {o.run}") if (*o.group, o.backbone) in twice else o
        for o in outcomes
    ]


def _key(outcome: Outcome) -> tuple[str | int | None, ...]:
    """What a table has one place for."""
    return (*outcome.group, outcome.backbone, outcome.result.labels, outcome.result.seed)


def introduce(pretrainings: Sequence[Pretraining], comparisons: Sequence[Comparison]) -> str:
    """What was compared, by what."""
    lengths = [_length(run) for run in pretrainings]
    made = f"Pretrained without labels: {listed(lengths)}." if lengths else ""
    if not comparisons:
        return f"{made} No transfer result is among these runs yet."
    others = [b for c in comparisons for b in c.backbones()]
    others = [b for b in dict.fromkeys(others) if b not in {run.name for run in pretrainings}]
    others_too = f" Compared with: {listed(others)}." if others else ""
    tasks = listed(list(dict.fromkeys(f"{c.task} ({c.metric})" for c in comparisons)))
    return f"{made}{others_too} Evaluated by {tasks}.".strip()


def _length(run: Pretraining) -> str:
    steps, _ = run.history.curve("step")
    if not steps:
        return run.name
    _, seconds = run.history.curve("seconds")
    time = f" in {_duration(seconds[-1])}" if seconds else ""
    return f"{run.name} ({steps[-1]:,} steps{time})"


def describe(comparison: Comparison, labels: int | None, baseline: str = RANDOM) -> str:
    """Which backbones are better than one with an amount of labels, or that it can't be told."""
    first, *others = entries = comparison.ranked(labels)
    task, metric, unit = comparison.task, comparison.metric, comparison.unit
    if not others:
        return (
            f"In {task} with {label_words(labels)}, {first.backbone}: "
            f"{comparison.written(first.mean)}{comparison.suffix} {metric} over "
            f"{counted(len(first.values), 'seed')}; there is nothing to compare it with."
        )
    values = {entry.backbone: dict(zip(entry.seeds, entry.values)) for entry in entries}
    than = baseline if baseline in values else RANDOM
    return compare_backbones(
        values, task=task, labels=labels, metric=metric, unit=unit, baseline=than
    )


def _duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def listed(words: Sequence[str]) -> str:
    """In a sentence; of many the first four.

    >>> listed(["a"]), listed("abc"), listed("abcdef")
    ('a', 'a, b and c', 'a, b, c, d and 2 more')
    """
    if len(words) > 5:
        words = [*words[:4], f"{len(words) - 4} more"]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
