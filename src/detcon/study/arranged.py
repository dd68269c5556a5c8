"""The figures of a study in the order in which they are shown: panels, lines, places, seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detcon.study.cell import Cell
from detcon.study.errors import StudyError
from detcon.study.recipe import StudyRecipe
from detcon.study.records import Record

Seeds = Mapping[int, float]


@dataclass(frozen=True)
class Source:
    """A source of masks.

    Attributes:
        overlap: The average best overlap of its masks with the true ones, 0 to 1.
        values: The figures of all cells that had them.
    """

    overlap: float
    values: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """One plot and its table.

    Attributes:
        title: The values of the axes that tell panels apart; "" for the only one.
        lines: By the name of the line and the place along x: the value of each seed.
        seconds: Of pretraining at these places, one for each seed.
        sources: Of masks, by name, where their overlap was measured.
    """

    title: str
    lines: Mapping[str, Mapping[Any, Seeds]]
    seconds: Mapping[str, Mapping[Any, Sequence[float]]]
    sources: Mapping[str, Source]

    @property
    def places(self) -> list[Any]:
        """All values along x, in the order of the grid."""
        return list(dict.fromkeys(x for line in self.lines.values() for x in line))


def check_figure(study: StudyRecipe) -> None:
    """Complains of a figure that would show cells of different settings as one.

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


def arrange(study: StudyRecipe, cells: Sequence[Cell], done: Mapping[str, Record]) -> list[Panel]:
    """All figures of finished cells; a cell that several points came to is at each of them."""
    figure = study.figure
    values: dict[tuple[Any, ...], float] = {}
    seconds: dict[tuple[Any, ...], float] = {}
    worth: dict[str, dict[tuple[float, str], list[float]]] = {}
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
                source = str(record.settings["pretrain"]["masks"])
                worth.setdefault(title, {}).setdefault((record.overlap, source), []).append(
                    record.value
                )
    panels = []
    for title in dict.fromkeys(place[0] for place in values):
        lines: dict[str, dict[Any, dict[int, float]]] = {}
        times: dict[str, dict[Any, list[float]]] = {}
        for key in _in_order(study, [place for place in values if place[0] == title]):
            _, line, x, seed = key
            lines.setdefault(line, {}).setdefault(x, {})[seed] = values[key]
            times.setdefault(line, {}).setdefault(x, []).append(seconds[key])
        sources = {
            name: Source(overlap, found)
            for (overlap, name), found in sorted(worth.get(title, {}).items())
        }
        panels.append(Panel(title, lines, times, sources))
    return panels


def _in_order(study: StudyRecipe, places: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """By line, place along x and seed, as the grid has them."""
    figure, grid = study.figure, study.grid
    lines = [str(value) for value in grid[figure.lines]] if figure.lines else [study.name]
    along = list(grid[figure.x])
    return sorted(places, key=lambda key: (lines.index(key[1]), along.index(key[2]), key[3]))
