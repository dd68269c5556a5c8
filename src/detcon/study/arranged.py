"""Arranges the results of a study for figures and tables: panels, lines, places, seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from detcon.study import StudyError
from detcon.study.cell import Cell
from detcon.study.plan import undisturbed_seconds
from detcon.study.recipe import StudyRecipe
from detcon.study.records import Record

Seeds = Mapping[int, float]


@dataclass(frozen=True)
class Source:
    """A source of masks: their overlap, and the figures of the cells that had them.

    `overlap` is the average best overlap (0 to 1) with the true masks; of masks that networks
    found, the mean over these. `values` are those at the largest budget of the panel. `number` is
    that of the masks of a photo, `area` the mean share of it that one covers; None: not measured.
    """

    overlap: float
    values: Sequence[float]
    number: float | None = None
    area: float | None = None


@dataclass(frozen=True)
class StudyPanel:
    """One plot and its table.

    Attributes:
        title: The values of the axes that tell panels apart; "" for the only one.
        metric: What its values are, with the unit: "mIoU (%)".
        task: What was learnt, from which data; its figures alone can be compared.
        places: All values along x, in the order of the grid.
        lines: By the name of the line and the place along x: the value of each seed.
        seconds: Of a pretraining at these places (`plan.undisturbed_seconds`).
        ranks: Of the embeddings after it (`effective_rank`), of each seed; where it was recorded.
        sources: Of masks, by name, where their overlap was measured.
    """

    title: str
    metric: str
    task: str
    places: Sequence[Any]
    lines: Mapping[str, Mapping[Any, Seeds]]
    seconds: Mapping[str, Mapping[Any, float]]
    ranks: Mapping[str, Mapping[Any, Seeds]]
    sources: Mapping[str, Source]


def check_figure(study: StudyRecipe) -> None:
    """Checks that the figure shows no cells of different settings as one."""
    figure, axes = study.figure, study.grid
    shown = [figure.x, *filter(None, [figure.lines]), *figure.panels]
    for axis in shown:
        if axis not in axes:
            raise StudyError(f"the figure names the axis '{axis}'; the grid has {', '.join(axes)}")
    for axis, values in axes.items():
        if axis not in (*shown, "seed") and len(values) > 1:
            raise StudyError(
                f"the figure shows all values of '{axis}' as one; give it a place in figure.x, "
                f"figure.lines or figure.panels"
            )
    lines = [str(value) for value in axes[figure.lines or figure.x]]
    of = "lines are" if figure.lines else "only line has the places"
    for name in [
        *filter(None, [figure.baseline, figure.floor]),
        *(n for pair in figure.sooner for n in pair),
    ]:
        if name not in lines:
            raise StudyError(f"the figure compares with '{name}', but its {of} {', '.join(lines)}")


def panel_title(study: StudyRecipe, point: Mapping[str, Any]) -> str:
    """The values of the axes that tell panels apart, at a point of the grid."""
    return ", ".join(f"{axis.rpartition('.')[2]} {point[axis]}" for axis in study.figure.panels)


def arrange(
    study: StudyRecipe, cells: Sequence[Cell], done: Mapping[str, Record]
) -> list[StudyPanel]:
    """The results of finished cells; a cell of several points is at each of them."""
    figure, seconds_of = study.figure, undisturbed_seconds(cells, done)
    found: dict[str, dict[tuple[str, Any, int], Record]] = {}
    for cell in cells:
        for point in cell.points if cell.fingerprint in done else ():
            title = panel_title(study, point)
            line = str(point[figure.lines]) if figure.lines else study.name
            place = line, point[figure.x], point.get("seed", 0)
            record = done[cell.fingerprint]
            seconds = {**record.seconds, "pretrain": seconds_of[cell.fingerprint]}
            found.setdefault(title, {})[place] = replace(record, seconds=seconds)
    return [_panel(study, title, records) for title, records in found.items()]


def _panel(
    study: StudyRecipe, title: str, records: Mapping[tuple[str, Any, int], Record]
) -> StudyPanel:
    """Arranges records by line, place along x and seed, in the order of the grid."""
    figure, grid = study.figure, study.grid
    order = [str(value) for value in grid[figure.lines]] if figure.lines else [study.name]
    along = list(grid[figure.x])
    lines: dict[str, dict[Any, dict[int, float]]] = {}
    seconds: dict[str, dict[Any, float]] = {}
    ranks: dict[str, dict[Any, dict[int, float]]] = {}
    for place in sorted(
        records, key=lambda key: (order.index(key[0]), along.index(key[1]), key[2])
    ):
        line, x, seed = place
        lines.setdefault(line, {}).setdefault(x, {})[seed] = records[place].value
        seconds.setdefault(line, {})[x] = records[place].seconds["pretrain"]
        rank = (records[place].embeddings or {}).get("effective_rank")
        if rank is not None:
            ranks.setdefault(line, {}).setdefault(x, {})[seed] = rank
    places = [x for x in along if any(x in line for line in lines.values())]
    metric, *others = sorted({f"{record.metric} ({record.unit})" for record in records.values()})
    if others:
        raise StudyError(
            f"cells of the study {study.name} that share a panel measure "
            f"{' and '.join([metric, *others])}; figure.panels needs the axis that tells them apart"
        )
    task = ", ".join(sorted({_judged(record.settings["transfer"]) for record in records.values()}))
    measured = [record for record in records.values() if record.overlap is not None]
    return StudyPanel(title, metric, task, places, lines, seconds, ranks, _sources(measured))


def _judged(transfer: Mapping[str, Any]) -> str:
    """The task and the data of a transfer's settings; version 0.1 had the task's name alone."""
    task = transfer.get("task")
    kind = task.get("kind") if isinstance(task, Mapping) else task
    return f"{kind} of {transfer.get('data')}"


def _mean_of(records: Sequence[Record], name: str) -> float | None:
    values = [(record.masks or {}).get(name) for record in records]
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _sources(records: Sequence[Record]) -> dict[str, Source]:
    """The sources of masks by overlap, lowest first; only seeds are averaged."""
    most = max((record.pairs for record in records), default=0)
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.pairs == most:
            found.setdefault(_masks(record.settings["pretrain"]), []).append(record)
    sources = {
        name: Source(
            fmean(one.overlap or 0.0 for one in same),
            [one.value for one in same],
            number=_mean_of(same, "number"),
            area=_mean_of(same, "area"),
        )
        for name, same in found.items()
    }
    return dict(sorted(sources.items(), key=lambda item: (item[1].overlap, item[0])))


def _masks(pretrain: Mapping[str, Any]) -> str:
    """Names the masks of a pretraining."""
    given, discovery = pretrain["masks"], pretrain.get("discovery")
    if discovery is None:
        return str(given)
    every = f"discovered every {discovery['every']}"
    return every if given is None else f"{given}, then {every}"
