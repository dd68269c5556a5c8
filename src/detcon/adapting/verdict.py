"""Whether adapting helped, in sentences: differences over paired seeds, with an interval."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from detcon.results.result import Result, written
from detcon.results.statistics import half_width, paired

_REASONS = (
    "That may mean that the weights are good for such photos already, that the run was too short "
    "or its learning rate too high or too low (pretrain.optimizer.encoder_lr), or that the masks "
    "don't follow the objects (look at them below). If the network has batch norms, try "
    "pretrain.freeze_norms=false pretrain.optimizer.encoder_lr=4e-3: that gained most where we "
    "measured (docs/adapting.md)."
)


@dataclass(frozen=True)
class Comparison:
    """Adapted weights against those they started from, at one number of labels.

    Attributes:
        labels: Labelled photos; None for all.
        start: The mean of the metric from the weights as they were.
        adapted: The mean from the adapted ones.
        differences: Adapted minus start: in each seed that both have, or, of several
            pretrainings, for each the mean over those seeds. One, where all are the same.
    """

    labels: int | None
    start: float
    adapted: float
    differences: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean difference."""
        return fmean(self.differences)

    @property
    def outcome(self) -> str:
        """ "helped" or "hurt", if the 95 % interval says so; else "unclear"."""
        half = half_width(self.differences)
        if half is None or abs(self.mean) <= half:
            return "unclear"
        return "helped" if self.mean > 0 else "hurt"


def compare(results: Iterable[Result], start: str, adapted: Sequence[str]) -> list[Comparison]:
    """Pairs results by labels and seed, in the order of the labels.

    Args:
        results: Of all backbones.
        start: The backbone that pretraining started from.
        adapted: Those that it gave, one for each pretraining.
    """
    values: dict[tuple[str, int | None], dict[int, float]] = {}
    for result in results:
        values.setdefault((result.backbone, result.labels), {})[result.seed] = result.value
    amounts = [labels for backbone, labels in values if backbone == adapted[0]]
    found = []
    for labels in sorted(amounts, key=lambda labels: (labels is None, labels)):
        before = values[start, labels]
        after = [values[backbone, labels] for backbone in adapted]
        differences = [paired(one, before) for one in after]
        # draws of labels are shared by all pretrainings: only the means are independent
        independent = differences[0] if len(adapted) == 1 else [fmean(one) for one in differences]
        if len(set(independent)) == 1:  # a probe of all labels: seeds draw nothing
            independent = independent[:1]
        means = fmean(before.values()), fmean(fmean(one.values()) for one in after)
        found.append(Comparison(labels, *means, tuple(independent)))
    return found


def verdict(
    comparisons: Sequence[Comparison], metric: str, unit: str, *, seeds: int, pretrainings: int = 1
) -> list[str]:
    """The answer in sentences; the first one says it all.

    >>> one = Comparison(50, 41.0, 44.0, (2.9, 3.0, 3.1))
    >>> print(verdict([one], "mIoU", "%", seeds=3)[0])
    Adapting helped: with 50 labels mIoU +3.0 (95 % interval +2.8 to +3.2), from 41.0 to 44.0 %.
    """
    outcomes = [one.outcome for one in comparisons]
    clear = [outcome for outcome in outcomes if outcome != "unclear"]
    if clear and len(set(outcomes)) == 1:
        head = f"Adapting {outcomes[0]}"
    elif set(clear) == {"helped"}:
        head = "Adapting helped at some numbers of labels"
    elif set(clear) == {"hurt"}:
        head = "Adapting hurt at some numbers of labels"
    elif clear:
        head = "Adapting helped at some numbers of labels and hurt at others"
    else:
        head = "It can't be told whether adapting helped"
    parts = [_part(one, metric, unit) for one in comparisons]
    sentences = [f"{head}: {'; '.join(parts)}."]
    draws = "one draw" if seeds == 1 else f"{seeds} draws"
    same = f"{draws} of labelled photos, the same before and after"
    if pretrainings > 1:
        sentences.append(
            f"The interval is over {pretrainings} pretrainings with different seeds; "
            f"each is judged on {same}."
        )
    elif seeds == 1:
        sentences.append("One seed shows no spread, so no difference can be told from chance.")
    else:
        sentences.append(
            f"The interval is over {same}; it doesn't cover what a second pretraining would change "
            f"(pretrainings=3 does, at three times the time)."
        )
    if seeds > 1 and any(len(one.differences) == 1 for one in comparisons):
        sentences.append("Where seeds draw nothing all give the same, and there is no interval.")
    if "helped" not in outcomes:
        sentences.append(_REASONS)
    return sentences


def _part(one: Comparison, metric: str, unit: str) -> str:
    def text(value: float, sign: str = "") -> str:
        return (sign if value >= 0 else "") + written(value, metric, unit)

    labels = "all labels" if one.labels is None else f"{one.labels} labels"
    half = half_width(one.differences)
    low_high = [] if half is None else [text(one.mean - half, "+"), text(one.mean + half, "+")]
    sure = f" (95 % interval {' to '.join(low_high)})" if low_high else ""
    means = f"from {text(one.start)} to {text(one.adapted)} {unit}"
    return f"with {labels} {metric} {text(one.mean, '+')}{sure}, {means}"
