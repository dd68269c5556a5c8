"""Draws a study: every seed a point, the mean with its interval, panels in a row."""

import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from detcon.report.figures import SETTINGS, Look, looks
from detcon.results.difference import RANDOM
from detcon.results.statistics import half_width
from detcon.study.arranged import StudyPanel
from detcon.study.recipe import StudyRecipe

_NAME = 0.3  # of overlap: about as wide as the name of a source is written
_IN_A_ROW = 4  # most panels
_WIDE = 8  # ratio of the greatest to the least value from which an axis is logarithmic


def draw_study(study: StudyRecipe, panels: Sequence[StudyPanel]) -> bytes:
    """The figure as SVG; the same results give the same bytes."""
    names = list(dict.fromkeys(line for panel in panels for line in panel.lines))
    styles = looks(name for name in names if name != "random")
    styles["random"] = styles[RANDOM]  # grey, as on the page of `detcon report`
    with mpl.rc_context({**SETTINGS, "svg.hashsalt": study.name}):
        covered = [panel for panel in panels if panel.sources]
        shown = [*panels, *covered]
        rows = -(-len(shown) // _IN_A_ROW)
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
        for axes, panel in zip(every[len(panels) :], covered):
            _draw_sources(axes, panel)
            axes.set_title(panel.title, fontsize=10.5)
        if len(names) > 1:  # a panel may lack a line that another has
            drawn = [axes.get_legend_handles_labels() for axes in every[: len(panels)]]
            of = {word: handle for handles, words in drawn for handle, word in zip(handles, words)}
            words = sorted(of, key=names.index)
            handles = [of[word] for word in words]
            figure.legend(handles, words, loc="outside right upper", frameon=False, fontsize=9)
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


def _draw_sources(axes: Axes, panel: StudyPanel) -> None:
    """Results by the overlap of the masks with the true ones, each source with its name."""
    look = looks(["masks"])["masks"]
    for name, source in panel.sources.items():
        _draw_line(axes, [source.overlap], [list(source.values)], name, replace(look, dash="none"))
    axes.set_xlabel("average best overlap with the true masks")
    axes.set_xlim(0, 1.15)
    points = {name: (s.overlap, fmean(s.values)) for name, s in panel.sources.items()}
    height = max(y for _, y in points.values()) - min(y for _, y in points.values()) or 1.0
    taken: list[tuple[float, float]] = []
    for name, (x, y) in sorted(points.items(), key=lambda item: item[1]):
        lines = (y + k * height / 14 for k in (0, 1, -1, 2, -2))  # of text, the nearest first
        free = (
            line
            for line in lines
            if all(abs(line - v) > height / 16 or x - u > _NAME for u, v in taken)
        )
        line = next(free, y)
        taken.append((x, line))
        axes.annotate(name, (x, line), (6, 2), textcoords="offset points", fontsize=8)


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
