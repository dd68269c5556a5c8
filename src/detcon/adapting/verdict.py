"""Whether adapting helped, in sentences: differences over paired seeds, with an interval."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Literal

from detcon.notes import counted
from detcon.results.difference import Difference
from detcon.results.result import Result
from detcon.results.statistics import paired

_OUTCOMES = {"better": "helped", "worse": "hurt", "unclear": "unclear"}


def compare(results: Iterable[Result], start: str, adapted: Sequence[str]) -> list[Difference]:
    """Pairs results by labels and seed, in the order of the labels.

    The differences are those of the seeds, or, of several pretrainings, for each the mean over
    the seeds.

    Args:
        results: Of all backbones, in one metric.
        start: The backbone that pretraining started from.
        adapted: Those that it gave, one for each pretraining.
    """
    values: dict[tuple[str, int | None], dict[int, float]] = {}
    metric = unit = ""
    for result in results:
        metric, unit = result.metric, result.unit
        values.setdefault((result.backbone, result.labels), {})[result.seed] = result.value
    amounts = [labels for backbone, labels in values if backbone == adapted[0]]
    found = []
    for labels in sorted(amounts, key=lambda labels: (labels is None, labels)):
        before = values[start, labels]
        after = [values[backbone, labels] for backbone in adapted]
        differences = [paired(one, before) for one in after]
        # draws of labels are shared by all pretrainings: only the means are independent
        independent = differences[0] if len(adapted) == 1 else [fmean(one) for one in differences]
        means = fmean(before.values()), fmean(fmean(one.values()) for one in after)
        found.append(Difference(labels, metric, unit, *means, tuple(independent)))
    return found


def why_no_gain(
    updates: int, batch: int, photos: int | None, norms: Literal["frozen", "moving"] | None
) -> str:
    """What it may mean that adapting gained nothing, and which other way to try.

    >>> print(why_no_gain(100, 32, 367, None).partition(", or that")[0])
    ... # doctest: +NORMALIZE_WHITESPACE
    No gain may mean that the weights are good for such photos already, that 100 updates of 32
    photos (8.7 passes over 367 photos) are too few, that the learning rate was too high or too low
    (pretrain.optimizer.encoder_lr)

    Args:
        updates: Of the pretraining.
        batch: Photos in each.
        photos: All that there are; None if they are gone.
        norms: What batch norms did; None if the network has none.
    """
    passes = ""
    if photos is not None:
        passes = f" ({updates * batch / photos:.2g} passes over {counted(photos, 'photo')})"
    text = (
        f"No gain may mean that the weights are good for such photos already, that "
        f"{counted(updates, 'update')} of {counted(batch, 'photo')}{passes} are too few, "
        f"that the learning rate was too high or too low (pretrain.optimizer.encoder_lr), or that "
        f"the masks don't follow the objects (look at them below)."
    )
    compared = "with another out=; detcon report of both folders compares them (docs/adapting.md)."
    if norms == "frozen":
        text += (
            " Batch norms kept their statistics here. Where we measured, "
            "pretrain.freeze_norms=false pretrain.optimizer.encoder_lr=4e-3 gained most: try it "
        )
    if norms == "moving":
        text += (
            " Batch norms moved here. Try the default, without pretrain.freeze_norms and "
            "pretrain.optimizer.encoder_lr, "
        )
    return text + compared if norms else text


def verdict(
    comparisons: Sequence[Difference], *, seeds: int, pretrainings: int = 1, reasons: str = ""
) -> list[str]:
    """The answer in sentences; the first one says it all. `reasons` follow where nothing helped.

    >>> one = Difference(50, "mIoU", "%", 41.0, 44.0, (2.9, 3.0, 3.1))
    >>> print(verdict([one], seeds=3)[0])
    Adapting helped: with 50 labels mIoU +3.0 (95 % interval +2.8 to +3.2), from 41.0 to 44.0 %.
    """
    outcomes = [_OUTCOMES[one.outcome] for one in comparisons]
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
    parts = [_part(one) for one in comparisons]
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
    repeats, few = ("seeds", seeds) if pretrainings == 1 else ("pretrainings", pretrainings)
    if few == 2 and any(one.half is not None and one.outcome == "unclear" for one in comparisons):
        sentences.append(
            f"Two {repeats} show little: give {repeats}=3 or more; the same command goes on."
        )
    if seeds > 1 and any(one.half is None for one in comparisons):
        sentences.append("Where seeds draw nothing all give the same, and there is no interval.")
    if reasons and "helped" not in outcomes:
        sentences.append(reasons)
    return sentences


def _part(one: Difference) -> str:
    labels = "all labels" if one.labels is None else f"{one.labels} labels"
    return f"with {labels} {one.change}, {one.means('from {before} to {after}')}"
