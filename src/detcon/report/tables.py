"""The page's tables and plots of transfer."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from detcon.report.compare import Comparison, label_words
from detcon.report.figures import Look, plot_by_labels, plot_seeds
from detcon.report.plots import LegendEntry, Plot
from detcon.report.runs import Result


@dataclass(frozen=True)
class Entry:
    """One cell of the table, as text."""

    mean: str
    seeds: str
    best: bool


@dataclass(frozen=True)
class Row:
    """One backbone; an entry is None where it was not tried."""

    name: str
    colour: str
    cells: tuple[Entry | None, ...]


@dataclass(frozen=True)
class PartRow:
    """One part of a figure, as a class, with a text for each backbone."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Breakdown:
    """Means over seeds by part and backbone."""

    heads: tuple[str, ...] = ()
    rows: tuple[PartRow, ...] = ()
    caption: str = ""


@dataclass(frozen=True)
class Table:
    """One task in one metric."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str
    plots: tuple[Plot, ...]
    classes: Breakdown
    figures: Breakdown


@dataclass(frozen=True)
class Tile:
    """One backbone's number, large."""

    name: str
    colour: str
    value: str
    unit: str
    detail: str


def make_table(
    comparison: Comparison, results: Sequence[Result], looks: Mapping[str, Look]
) -> Table:
    """Means with their spread, every seed's number below, the best of each column in bold."""
    amounts = comparison.amounts
    rows = tuple(
        Row(name, looks[name].colour, tuple(_entry(comparison, name, n) for n in amounts))
        for name in comparison.backbones()
    )
    better = "lower" if comparison.lower_is_better else "higher"
    unit = f" in {comparison.unit}" if comparison.unit else ""
    caption = (
        f"{comparison.metric}{unit}, {better} is better: mean ± standard deviation over seeds, "
        f"below it each seed. Bold: the best mean of a column."
    )
    return Table(
        title=f"{comparison.task}, {comparison.metric}",
        heads=tuple(label_words(n) for n in amounts),
        rows=rows,
        caption=caption,
        plots=tuple(_plots(comparison, looks)),
        classes=_by_class(comparison, results),
        figures=_all_figures(comparison, results),
    )


def _entry(comparison: Comparison, backbone: str, labels: int | None) -> Entry | None:
    cell = comparison.cell(backbone, labels)
    if cell is None:
        return None
    spread = "" if cell.deviation is None else f" ± {comparison.written(cell.deviation)}"
    seeds = " · ".join(map(comparison.written, cell.values))
    return Entry(
        mean=comparison.written(cell.mean) + spread,
        seeds=seeds if len(cell.values) > 1 else "one seed",
        best=comparison.ranked(labels)[0] == cell,
    )


def _plots(comparison: Comparison, looks: Mapping[str, Look]) -> list[Plot]:
    label = f"{comparison.metric} ({comparison.unit})" if comparison.unit else comparison.metric
    backbones = comparison.backbones()
    if len(comparison.amounts) > 1:
        values = {
            name: {c.labels: c.values for c in comparison.cells if c.backbone == name}
            for name in backbones
        }
        legend = tuple(LegendEntry(n, looks[n].colour, looks[n].dash) for n in backbones)
        caption = (
            "Each point is one seed; lines join the means. Points of one amount of labels are set "
            "apart sideways, so that they don't hide each other."
        )
        address = plot_by_labels(values, looks, label=label)
        return [Plot("", address, caption, f"{label} by labelled pictures", legend)]
    cells = comparison.ranked(comparison.amounts[0])
    address = plot_seeds({c.backbone: c.values for c in cells}, looks, label=label)
    caption = (
        f"Each point is one seed, the upright line and its number the mean, after training with "
        f"{label_words(comparison.amounts[0])}. The axis doesn't begin at 0."
    )
    return [Plot("", address, caption, f"{label} of {', '.join(c.backbone for c in cells)}")]


def _by_class(comparison: Comparison, results: Sequence[Result]) -> Breakdown:
    """The metric by class; where a class occurs in no seed there is a dash."""
    caption = f"{comparison.metric} by class{comparison.unit and f' in {comparison.unit}'}, mean "
    return _breakdown(comparison, results, lambda result: result.per_class, caption)


def _all_figures(comparison: Comparison, results: Sequence[Result]) -> Breakdown:
    """Whatever else was measured."""
    return _breakdown(comparison, results, lambda result: result.figures, "Mean ")


def _breakdown(
    comparison: Comparison,
    results: Sequence[Result],
    parts: Callable[[Result], Mapping[str, float | None]],
    caption: str,
) -> Breakdown:
    """Parts of the results by backbone, at the fewest labels."""
    labels, backbones = comparison.amounts[0], comparison.backbones()
    found = [
        r for r in results
        if (r.task, r.metric, r.labels) == (comparison.task, comparison.metric, labels)
    ]  # fmt: skip
    rows = []
    for name in dict.fromkeys(name for result in found for name in parts(result)):
        values = [
            _mean([parts(r).get(name) for r in found if r.backbone == b], comparison.written)
            for b in backbones
        ]
        rows.append(PartRow(name, tuple(values)))
    caption += f"over seeds, {label_words(labels)}."
    return Breakdown(tuple(backbones), tuple(rows), caption)


def _mean(values: Sequence[float | None], written: Callable[[float], str]) -> str:
    there = [value for value in values if value is not None]
    return written(math.fsum(there) / len(there)) if there else "none"


def make_tiles(comparison: Comparison, looks: Mapping[str, Look]) -> list[Tile]:
    """The numbers of the fewest labels, best first."""
    tiles = []
    for cell in comparison.ranked(comparison.amounts[0])[:6]:
        spread = "" if cell.deviation is None else f"± {comparison.written(cell.deviation)}, "
        seeds = f"{len(cell.values)} seed{'s' if len(cell.values) > 1 else ''}"
        value, unit = comparison.written(cell.mean), f"{comparison.suffix} {comparison.metric}"
        colour = looks[cell.backbone].colour
        tiles.append(Tile(cell.backbone, colour, value, unit, spread + seeds))
    return tiles
