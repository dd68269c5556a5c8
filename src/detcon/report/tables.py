"""The page's tables and plots of transfer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from detcon.report.compare import Comparison, label_words
from detcon.report.figures import Look, plot_by_labels, plot_seeds
from detcon.report.plots import LegendEntry, Plot
from detcon.report.runs import Outcome
from detcon.results.result import Result, unit_of, written


@dataclass(frozen=True)
class EntryText:
    """One entry of the table, as text."""

    mean: str
    seeds: str
    best: bool


@dataclass(frozen=True)
class BackboneRow:
    """One backbone's row; None where there is no result."""

    name: str
    colour: str
    entries: tuple[EntryText | None, ...]


@dataclass(frozen=True)
class PartRow:
    """One row of a breakdown, such as a class: a text for each backbone."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Breakdown:
    """A table of means over seeds: classes or further metrics by backbone."""

    heads: tuple[str, ...] = ()
    rows: tuple[PartRow, ...] = ()
    caption: str = ""


@dataclass(frozen=True)
class TransferTable:
    """One task in one metric."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[BackboneRow, ...]
    caption: str
    plots: tuple[Plot, ...]
    classes: Breakdown
    figures: Breakdown


@dataclass(frozen=True)
class Tile:
    """The headline number of one backbone."""

    name: str
    colour: str
    value: str
    unit: str
    detail: str


def make_table(
    comparison: Comparison, outcomes: Sequence[Outcome], looks: Mapping[str, Look]
) -> TransferTable:
    """Means with their spread, every seed's number below, the best of each column in bold."""
    amounts = comparison.amounts
    rows = tuple(
        BackboneRow(name, looks[name].colour, tuple(_entry(comparison, name, n) for n in amounts))
        for name in comparison.backbones()
    )
    unit = f" in {comparison.unit}" if comparison.unit else ""
    caption = (
        f"{comparison.metric}{unit}, higher is better: mean ± standard deviation over seeds, "
        f"below it each seed. Bold: the best mean of a column."
    )
    return TransferTable(
        title=f"{comparison.task}, {comparison.metric}",
        heads=tuple(label_words(n) for n in amounts),
        rows=rows,
        caption=caption,
        plots=tuple(_plots(comparison, looks)),
        classes=_by_class(comparison, outcomes),
        figures=_all_figures(comparison, outcomes),
    )


def _entry(comparison: Comparison, backbone: str, labels: int | None) -> EntryText | None:
    entry = comparison.entry(backbone, labels)
    if entry is None:
        return None
    spread = "" if entry.deviation is None else f" ± {comparison.written(entry.deviation)}"
    seeds = " · ".join(map(comparison.written, entry.values))
    return EntryText(
        mean=comparison.written(entry.mean) + spread,
        seeds=seeds if len(entry.values) > 1 else "one seed",
        best=comparison.ranked(labels)[0] == entry,
    )


def _plots(comparison: Comparison, looks: Mapping[str, Look]) -> list[Plot]:
    label = f"{comparison.metric} ({comparison.unit})" if comparison.unit else comparison.metric
    backbones = comparison.backbones()
    if len(comparison.amounts) > 1:
        values = {
            name: {e.labels: e.values for e in comparison.entries if e.backbone == name}
            for name in backbones
        }
        legend = tuple(LegendEntry(n, looks[n].colour, looks[n].dash) for n in backbones)
        caption = (
            "Each point is one seed; lines join the means. Points of one amount of labels are set "
            "apart sideways, so that they don't hide each other."
        )
        address = plot_by_labels(values, looks, label=label)
        return [Plot("", address, caption, f"{label} by labelled pictures", legend)]
    entries = comparison.ranked(comparison.amounts[0])
    values = {entry.backbone: entry.values for entry in entries}
    address = plot_seeds(values, looks, label=label, written=comparison.written)
    caption = (
        f"Each point is one seed, the upright line and its number the mean, after training with "
        f"{label_words(comparison.amounts[0])}. The axis doesn't begin at 0."
    )
    return [Plot("", address, caption, f"{label} of {', '.join(values)}")]


def _by_class(comparison: Comparison, outcomes: Sequence[Outcome]) -> Breakdown:
    """The metric by class; "none" where a class occurs in no seed."""
    rows = {}
    for name, values in _by_part(comparison, outcomes, lambda result: result.per_class).items():
        rows[name] = [None if value is None else comparison.written(value) for value in values]
    caption = f"{comparison.metric} by class{comparison.unit and f' in {comparison.unit}'}, mean "
    return _breakdown(comparison, rows, caption)


def _all_figures(comparison: Comparison, outcomes: Sequence[Outcome]) -> Breakdown:
    """The further metrics, each in its own unit."""
    rows = {}
    for name, values in _by_part(comparison, outcomes, lambda result: result.figures).items():
        unit = unit_of(name, comparison.unit)
        texts = [None if v is None else written(v, name, comparison.unit) for v in values]
        rows[f"{name} ({unit})" if unit else name] = texts
    return _breakdown(comparison, rows, "Mean ")


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


def _breakdown(
    comparison: Comparison, rows: Mapping[str, Sequence[str | None]], caption: str
) -> Breakdown:
    texts = {name: tuple(value or "none" for value in values) for name, values in rows.items()}
    caption += f"over seeds, {label_words(comparison.amounts[0])}."
    heads = tuple(comparison.backbones())
    return Breakdown(heads, tuple(PartRow(*row) for row in texts.items()), caption)


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return fmean(there) if there else None


def make_tiles(comparison: Comparison, looks: Mapping[str, Look]) -> list[Tile]:
    """Tiles for the fewest labels, best backbone first."""
    tiles = []
    for entry in comparison.ranked(comparison.amounts[0])[:6]:
        spread = "" if entry.deviation is None else f"± {comparison.written(entry.deviation)}, "
        seeds = f"{len(entry.values)} seed{'s' if len(entry.values) > 1 else ''}"
        value, unit = comparison.written(entry.mean), f"{comparison.suffix} {comparison.metric}"
        colour = looks[entry.backbone].colour
        tiles.append(Tile(entry.backbone, colour, value, unit, spread + seeds))
    return tiles
