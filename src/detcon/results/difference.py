"""Differences of paired seeds in words, as the terminal and the pages say them."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from detcon.notes import counted
from detcon.results.result import written
from detcon.results.statistics import half_width, paired

RANDOM = "random weights"
_UNCLEAR = "it can't be told "


@dataclass(frozen=True)
class Difference:
    """A metric from one backbone against that from another, at one number of labels.

    Attributes:
        labels: Labelled pictures; None for all.
        metric: The metric; more is better.
        unit: Its unit.
        before: The mean of the other backbone.
        after: The mean of the one.
        each: After minus before, in each repeat; empty where the two share no seed.
    """

    labels: int | None
    metric: str
    unit: str
    before: float
    after: float
    each: tuple[float, ...]

    @property
    def half(self) -> float | None:
        """Half of the 95 % interval; None with one repeat, or where all are the same."""
        return half_width(self.each) if len(set(self.each)) > 1 else None

    @property
    def outcome(self) -> Literal["better", "worse", "unclear"]:
        """What the 95 % interval says; unclear, too, where both means are written alike."""
        if self.half is None or abs(fmean(self.each)) <= self.half or not self._shown:
            return "unclear"
        return "better" if fmean(self.each) > 0 else "worse"

    @property
    def change(self) -> str:
        """`mIoU +3.0 (95 % interval +2.8 to +3.2)`."""
        text = f"{self.metric} {self._signed(self._shown)}"
        if self.half is None:
            return text
        ends = (fmean(self.each) + sign * self.half for sign in (-1, 1))
        return f"{text} (95 % interval {' to '.join(map(self._signed, ends))})"

    def means(self, template: str) -> str:
        """Both means with their unit, as in "from {before} to {after}"."""
        text = template.format(before=self._written(self.before), after=self._written(self.after))
        return f"{text} {self.unit}" if self.unit else text

    @property
    def _shown(self) -> float:
        """The difference of the means as written, so that a reader who subtracts them agrees."""
        return float(self._written(self.after)) - float(self._written(self.before))

    def _written(self, value: float) -> str:
        return written(value, self.metric, self.unit)

    def _signed(self, value: float) -> str:
        text = self._written(float(self._written(value)) + 0.0)  # no -0.0
        return text if text.startswith("-") else f"+{text}"


def compare_backbones(
    values: Mapping[str, Mapping[int, float]],
    *,
    task: str,
    labels: int | None,
    metric: str,
    unit: str,
    baseline: str = RANDOM,
) -> str:
    """Which backbones are better than the baseline, and whether the best is than the next.

    >>> values = {"mine": {0: 44.0, 1: 44.2}, RANDOM: {0: 41.0, 1: 41.1}}
    >>> print(compare_backbones(values, task="depth", labels=9, metric="delta1", unit="%"))
    ... # doctest: +NORMALIZE_WHITESPACE
    In depth with 9 labelled pictures, mine is better than random weights: delta1 +3.1
    (95 % interval +2.4 to +3.7), 44.1 against 41.0 % over 2 seeds.

    Args:
        values: Of two backbones or more by seed.
        task: In words.
        labels: Labelled pictures; None for all.
        metric: What was measured; more is better.
        unit: Its unit.
        baseline: One of them, or random weights.
    """
    ranked = sorted(values, key=lambda name: -fmean(values[name].values()))
    trained = [name for name in ranked if name not in (RANDOM, baseline)]
    pairs = [(name, baseline) for name in trained if baseline in values]
    if not trained:
        pairs = [(baseline, RANDOM)]
    pairs += [(trained[0], trained[1])] if len(trained) > 1 else []
    found = []
    for one, other in pairs:
        shared = [seed for seed in values[one] if seed in values[other]]
        before, after = (
            fmean([values[name][seed] for seed in shared or values[name]]) for name in (other, one)
        )
        each = tuple(paired(values[one], values[other]))
        found.append(Difference(labels, metric, unit, before, after, each))
    clauses = [_clause(*pair, one) for pair, one in zip(pairs, found) if one.outcome != "unclear"]
    unclear = [_clause(*pair, one) for pair, one in zip(pairs, found) if one.outcome == "unclear"]
    clauses += unclear[:1] + [clause.replace(_UNCLEAR, "nor ", 1) for clause in unclear[1:]]
    single = any(len(difference.each) == 1 for difference in found)
    return f"In {task} with {label_words(labels)}, {'; '.join(clauses)}." + (
        " One seed can't tell a difference from chance." if single else ""
    )


def _clause(one: str, other: str, difference: Difference) -> str:
    means = difference.means("{after} against {before}")
    repeats = f"over {counted(len(difference.each), 'seed')}"
    if not difference.each:
        repeats = "with different seeds"
    elif difference.half is None and len(difference.each) > 1:
        repeats += ", the same in each"
    outcome = f"{one} is {difference.outcome} than {other}"
    if difference.outcome == "unclear":
        outcome = f"{_UNCLEAR}whether {one} is better than {other}"
    return f"{outcome}: {difference.change}, {means} {repeats}"


def label_words(labels: int | None) -> str:
    """`20 labelled pictures`."""
    return "all labelled pictures" if labels is None else counted(labels, "labelled picture")
