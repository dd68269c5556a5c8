"""Arranges the results of a study for figures and tables: panels, lines, places, seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from detcon.study import StudyError
from detcon.study.cell import Cell
from detcon.study.recipe import StudyRecipe
from detcon.study.records import Record

Seeds = Mapping[int, float]


@dataclass(frozen=True)
class Source:
    """A source of masks.

    Attributes:
        overlap: The average best overlap of its masks with the true ones, 0 to 1; of masks that
            networks found, the mean over these.
        values: The figures of the cells that had them, at the largest budget of the panel.
    """

    overlap: float
    values: Sequence[float]


@dataclass(frozen=True)
class StudyPanel:
    """One plot and its table.

    Attributes:
        title: The values of the axes that tell panels apart; "" for the only one.
        places: All values along x, in the order of the grid.
        lines: By the name of the line and the place along x: the value of each seed.
        seconds: Of pretraining at these places, one for each seed.
        sources: Of masks, by name, where their overlap was measured.
    """

    title: str
    places: Sequence[Any]
    lines: Mapping[str, Mapping[Any, Seeds]]
    seconds: Mapping[str, Mapping[Any, Sequence[float]]]
    sources: Mapping[str, Source]


def check_figure(study: StudyRecipe) -> None:
    """Checks that the figure shows no cells of different settings as one.

    Raises:
        StudyError: It names an axis or a line that isn't there, or leaves an axis out.
    """
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
    lines = [str(value) for value in axes[figure.lines]] if figure.lines else []
    for name in [
        *filter(None, [figure.baseline, figure.floor]),
        *(n for pair in figure.sooner for n in pair),
    ]:
        if name not in lines:
            raise StudyError(
                f"the figure compares with '{name}', but its lines are {', '.join(lines)}"
            )


def arrange(
    study: StudyRecipe, cells: Sequence[Cell], done: Mapping[str, Record]
) -> list[StudyPanel]:
    """The results of finished cells; a cell of several points is at each of them."""
    figure = study.figure
    values: dict[tuple[Any, ...], float] = {}
    seconds: dict[tuple[Any, ...], float] = {}
    worth: dict[str, list[Record]] = {}
    for cell in cells:
        record = done.get(cell.fingerprint)
        if record is None:
            continue
        for point in cell.points:
            title = ", ".join(f"{axis.rpartition('.')[2]} {point[axis]}" for axis in figure.panels)
            line = str(point[figure.lines]) if figure.lines else study.name
            place = title, line, point[figure.x], point.get("seed", 0)
            values[place], seconds[place] = record.value, record.seconds["pretrain"]
            if record.overlap is not None:
                worth.setdefault(title, []).append(record)
    panels = []
    for title in dict.fromkeys(place[0] for place in values):
        lines: dict[str, dict[Any, dict[int, float]]] = {}
        times: dict[str, dict[Any, list[float]]] = {}
        for key in _in_order(study, [place for place in values if place[0] == title]):
            _, line, x, seed = key
            lines.setdefault(line, {}).setdefault(x, {})[seed] = values[key]
            times.setdefault(line, {}).setdefault(x, []).append(seconds[key])
        found = {x for line in lines.values() for x in line}
        places = [x for x in study.grid[figure.x] if x in found]
        panels.append(StudyPanel(title, places, lines, times, _sources(worth.get(title, []))))
    return panels


def _sources(records: Sequence[Record]) -> dict[str, Source]:
    """The sources of masks by overlap, lowest first; only seeds are averaged."""
    most = max((record.pairs for record in records), default=0)
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.pairs == most:
            found.setdefault(_masks(record.settings["pretrain"]), []).append(record)
    sources = {
        name: Source(fmean(one.overlap or 0.0 for one in same), [one.value for one in same])
        for name, same in found.items()
    }
    return dict(sorted(sources.items(), key=lambda item: (item[1].overlap, item[0])))


def _masks(pretrain: Mapping[str, Any]) -> str:
    """What to call the masks of a pretraining."""
    given, discovery = pretrain["masks"], pretrain.get("discovery")
    if discovery is None:
        return str(given)
    every = f"discovered every {discovery['every']}"
    return every if given is None else f"{given}, then {every}"


def _in_order(study: StudyRecipe, places: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """By line, place along x and seed, as the grid has them."""
    figure, grid = study.figure, study.grid
    lines = [str(value) for value in grid[figure.lines]] if figure.lines else [study.name]
    along = list(grid[figure.x])
    return sorted(places, key=lambda key: (lines.index(key[1]), along.index(key[2]), key[3]))
