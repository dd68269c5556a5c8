"""Draws a study: every seed a point, the mean with its interval, panels in a row."""

import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from detcon.report.figures import SETTINGS, Look, looks
from detcon.results.difference import RANDOM
from detcon.results.statistics import half_width
from detcon.study.arranged import StudyPanel
from detcon.study.recipe import StudyRecipe

_IN_A_ROW = 4  # most panels
_OF_MASKS = {  # what sources of masks are drawn by
    "overlap": "average best overlap with the true masks",
    "number": "number of masks of a photo",
}
_Beside = tuple[tuple[int, int], Literal["left", "center", "right"]]
# where a name may stand: points to the right and up from its mark, and its alignment
_BESIDE: Sequence[_Beside] = [
    *(((6, up), "left") for up in (0, 9, -9, 18, -18)),
    *(((-6, up), "right") for up in (0, 9, -9, 18, -18)),
    *(((0, up), "center") for up in (11, -11)),
]
_WIDE = 8  # ratio of the greatest to the least value from which an axis is logarithmic


def draw_study(study: StudyRecipe, panels: Sequence[StudyPanel]) -> bytes:
    """The figure as SVG; the same results give the same bytes."""
    names = list(dict.fromkeys(line for panel in panels for line in panel.lines))
    styles = looks(name for name in names if name != "random")
    styles["random"] = styles[RANDOM]  # grey, as on the page of `detcon report`
    with mpl.rc_context({**SETTINGS, "svg.hashsalt": study.name}):
        covered = [
            (panel, measure)
            for panel in panels
            for measure in _OF_MASKS
            if panel.sources and all(getattr(s, measure) for s in panel.sources.values())
        ]
        shown = [*panels, *(panel for panel, _ in covered)]
        rows = -(-len(shown) // (2 if covered else _IN_A_ROW))  # names need room
        columns = -(-len(shown) // rows)
        size = (max(4.8, 4.0 * columns) + 1.6, 3.7 * rows)
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        every = list(figure.subplots(rows, columns, squeeze=False).flat)[: len(shown)]
        for axes in figure.axes[len(shown) :]:
            axes.remove()
        _share_heights(every, [(panel.metric, panel.task) for panel in shown], columns)
        for axes, panel in zip(every, panels):
            _draw(axes, panel, styles)
            axes.set_title(panel.title, fontsize=10.5)
            axes.set_xlabel(study.figure.label or study.figure.x)
        for axes, (panel, measure) in zip(every[len(panels) :], covered):
            _draw_sources(axes, panel, measure)
            axes.set_title(panel.title, fontsize=10.5)
        if len(names) > 1:  # a panel may lack a line that another has
            drawn = [axes.get_legend_handles_labels() for axes in every[: len(panels)]]
            of = {word: handle for handles, words in drawn for handle, word in zip(handles, words)}
            words = sorted(of, key=names.index)
            handles = [of[word] for word in words]
            figure.legend(handles, words, loc="outside right upper", frameon=False, fontsize=9)
        figure.draw_without_rendering()  # lays out what the names shall fit between
        for axes, (panel, measure) in zip(every[len(panels) :], covered):
            _write_names(axes, panel, measure)
        written = io.BytesIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return written.getvalue()


def _share_heights(
    every: Sequence[Axes], measured: Sequence[tuple[str, str]], columns: int
) -> None:
    """Panels of one metric and task have the same upright axis, labelled once a row."""
    for number, (axes, (metric, _)) in enumerate(zip(every, measured)):
        if (first := measured.index(measured[number])) < number:
            axes.sharey(every[first])
        if number % columns and measured[number - 1] == measured[number]:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(metric)


def _draw(axes: Axes, panel: StudyPanel, styles: dict[str, Look]) -> None:
    places = panel.places
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in places)
    wide = numbers and len(places) > 1 and 0 < min(places) * _WIDE <= max(places)
    along = [math.log2(x) if wide else float(x) for x in places] if numbers else range(len(places))
    gap = min((abs(b - a) for a, b in itertools.pairwise(along)), default=1.0)
    # intervals of several lines lie beside each other, near their place
    apart = gap * min(0.05 if numbers else 0.12, 0.7 / len(panel.lines))
    for row, (name, line) in enumerate(panel.lines.items()):
        shift = apart * (row - (len(panel.lines) - 1) / 2)
        where = [along[places.index(x)] + shift for x in line]
        where = [2.0**x for x in where] if wide else where
        look = (
            styles[name] if numbers or len(panel.lines) > 1 else replace(styles[name], dash="none")
        )
        _draw_line(axes, where, [list(seeds.values()) for seeds in line.values()], name, look)
    if wide:
        axes.set_xscale("log", base=2)
    axes.set_xticks(places if numbers else range(len(places)), [str(x) for x in places])
    axes.minorticks_off()
    if not numbers and max(len(str(x)) for x in places) * len(places) > 30:
        for text in axes.get_xticklabels():
            text.set(rotation=35 if len(places) <= 8 else 60, ha="right", rotation_mode="anchor")
    axes.margins(x=0.08)


def _draw_sources(axes: Axes, panel: StudyPanel, measure: str) -> None:
    """Results by the masks' overlap with the true ones, or by their number."""
    look = replace(looks(["masks"])["masks"], dash="none")
    for name, source in panel.sources.items():
        _draw_line(axes, [getattr(source, measure)], [list(source.values)], name, look)
    axes.set_xlabel(_OF_MASKS[measure])
    if measure == "overlap":
        axes.set_xlim(0, 1.15)
    else:
        axes.set_xscale("log")
        axes.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
        axes.minorticks_off()
        axes.margins(x=0.25)


def _write_names(axes: Axes, panel: StudyPanel, measure: str) -> None:
    """The name of each source beside its mean, where it covers least of what is drawn."""
    means = [(getattr(s, measure), fmean(s.values)) for s in panel.sources.values()]
    seeds = [(getattr(s, measure), y) for s in panel.sources.values() for y in s.values]
    marks = axes.transData.transform([*means, *seeds])
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in marks]
    for name, mean in zip(panel.sources, means):
        text = axes.annotate(
            name, mean, (0, 0), textcoords="offset points", va="center", fontsize=8,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "0.5", "shrinkA": 0},
        )  # fmt: skip
        text.set_in_layout(False)  # which would move the marks

        def place(beside: _Beside, text: Annotation = text) -> Bbox:
            text.xyann, side = beside
            text.set_horizontalalignment(side)
            text.get_window_extent()  # moves it, and counts the line to its mark
            return Text.get_window_extent(text)

        taken.append(place(min(_BESIDE, key=lambda beside: place(beside).count_overlaps(taken))))


def _draw_line(
    axes: Axes, where: list[float], seeds: list[list[float]], name: str, look: Look
) -> None:
    """Points for seeds, and on them means, joined unless the dash is "none".

    Intervals are drawn from three seeds on: those of two are 13 times their deviation, and would
    hide all else.
    """
    for x, values in zip(where, seeds):
        axes.plot(
            [x] * len(values), values, look.marker, color=look.colour, alpha=0.6, zorder=3,
            markersize=5.5, markeredgecolor="white", markeredgewidth=0.6,
        )  # fmt: skip
    line = "none" if look.dash == "none" else look.line
    style: dict[str, Any] = {"color": look.colour, "linestyle": line, "label": name}
    means = [fmean(values) for values in seeds]
    bars = [(half_width(values) or 0.0) if len(values) > 2 else math.nan for values in seeds]
    axes.errorbar(where, means, yerr=bars, marker=look.marker, capsize=2.5, markersize=6, **style)
