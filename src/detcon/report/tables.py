"""The page's tables and plots of transfer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from detcon.report.compare import Comparison
from detcon.report.figures import Look, plot_by_labels, plot_seeds
from detcon.report.plots import Plot
from detcon.report.runs import Outcome
from detcon.results.difference import label_words
from detcon.results.result import Result, unit_of, written


@dataclass(frozen=True)
class Breakdown:
    """Means over seeds at the fewest labels: by name of a class or metric, one text a backbone."""

    rows: Mapping[str, Sequence[str]]
    caption: str


@dataclass(frozen=True)
class TransferTable:
    """One task in one metric: the numbers are in `comparison`.

    `beside` are words for a backbone's card: of a detector's AP, the AP50.
    """

    comparison: Comparison
    beside: Mapping[str, str]
    caption: str
    plot: Plot
    classes: Breakdown
    figures: Breakdown


def make_table(
    comparison: Comparison, outcomes: Sequence[Outcome], looks: Mapping[str, Look]
) -> TransferTable:
    """Means with their spread, every seed's number below, the best of each column in bold."""
    unit = f" in {comparison.unit}" if comparison.unit else ""
    return TransferTable(
        comparison=comparison,
        beside=_beside(comparison, outcomes),
        caption=(
            f"{comparison.metric}{unit}, higher is better: mean ± standard deviation over seeds, "
            f"below it each seed. Bold: the highest mean of a column. ± is the spread of one "
            f"backbone's seeds; whether a difference can be told is said above."
        ),
        plot=_plot(comparison, looks),
        classes=_by_class(comparison, outcomes),
        figures=_all_figures(comparison, outcomes),
    )


def _plot(comparison: Comparison, looks: Mapping[str, Look]) -> Plot:
    label = f"{comparison.metric} ({comparison.unit})" if comparison.unit else comparison.metric
    backbones = comparison.backbones()
    if len(comparison.amounts) > 1:
        values = {
            name: {e.labels: e.values for e in comparison.entries if e.backbone == name}
            for name in backbones
        }
        caption = (
            "Each point is one seed; lines join the means. Points of one amount of labels are set "
            "apart sideways, so that they don't hide each other."
        )
        address = plot_by_labels(values, looks, label=label)
        alt, legend = f"{label} by labelled pictures", {name: looks[name] for name in backbones}
        return Plot("", address, caption, alt, legend)
    entries = comparison.ranked(comparison.amounts[0])
    values = {entry.backbone: entry.values for entry in entries}
    address = plot_seeds(values, looks, label=label, written=comparison.written)
    caption = (
        f"Each point is one seed, the upright line and its number the mean, after training with "
        f"{label_words(comparison.amounts[0])}. The axis doesn't begin at 0."
    )
    return Plot("", address, caption, f"{label} of {', '.join(values)}")


def _by_class(comparison: Comparison, outcomes: Sequence[Outcome]) -> Breakdown:
    """The metric by class; "none" where a class occurs in no seed."""
    rows = {}
    for name, values in _by_part(comparison, outcomes, lambda result: result.per_class).items():
        rows[name] = ["none" if value is None else comparison.written(value) for value in values]
    metric = comparison.metric.replace("mIoU", "IoU")  # the mean is over classes
    what = f"{metric} by class{comparison.unit and f' in {comparison.unit}'}, mean"
    return Breakdown(rows, f"{what} {_of_fewest(comparison)}")


def _beside(comparison: Comparison, outcomes: Sequence[Outcome]) -> dict[str, str]:
    """The figure of looser boxes or masks, `AP50` of `AP`, by backbone, where there is one."""
    name = f"{comparison.metric}50"
    values = _by_part(comparison, outcomes, lambda result: result.figures).get(name, [])
    return {
        backbone: f"{name} {written(value, name, comparison.unit)}"
        for backbone, value in zip(comparison.backbones(), values)
        if value is not None
    }


def _all_figures(comparison: Comparison, outcomes: Sequence[Outcome]) -> Breakdown:
    """The further metrics, each in its own unit."""
    rows = {}
    for name, values in _by_part(comparison, outcomes, lambda result: result.figures).items():
        unit = unit_of(name, comparison.unit)
        texts = ["none" if v is None else written(v, name, comparison.unit) for v in values]
        rows[f"{name} ({unit})" if unit else name] = texts
    caption = f"Mean {_of_fewest(comparison)}"
    if any(name.partition(" ")[0] in ("box", "mask") for name in rows):
        caption += (
            " Small, medium and large objects (APs, APm, APl, ARs, …) are so in the photos as "
            "shrunk to size=."
        )
    return Breakdown(rows, caption)


def _of_fewest(comparison: Comparison) -> str:
    return f"over seeds, {label_words(comparison.amounts[0])}."


def _by_part(
    comparison: Comparison,
    outcomes: Sequence[Outcome],
    parts: Callable[[Result], Mapping[str, float | None]],
) -> dict[str, list[float | None]]:
    """By the name of a part, each backbone's mean over seeds, at the fewest labels."""
    group, labels = (comparison.task, comparison.metric, comparison.unit), comparison.amounts[0]
    found = [o for o in outcomes if o.group == group and o.result.labels == labels]
    names = dict.fromkeys(name for outcome in found for name in parts(outcome.result))
    return {
        name: [
            _mean([parts(o.result).get(name) for o in found if o.backbone == backbone])
            for backbone in comparison.backbones()
        ]
        for name in names
    }


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return fmean(there) if there else None
