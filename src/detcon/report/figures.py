"""Plots as vector graphics, each a data URI (`data:image/svg+xml`).

One quantity a figure, small enough to be read on a telephone without zooming; which line is which
run is shown once, in the page's legend. A run keeps its colour, dash and marker in all figures.
"""

import base64
import io
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from detcon.palette import OKABE_ITO
from detcon.results.difference import RANDOM

Curve = tuple[Sequence[int], Sequence[float]]

_INK, _QUIET, _RULE = "#1f2328", "#57606a", "#d8dee4"
_HUES = [OKABE_ITO[name] for name in ("blue", "vermillion", "green", "purple", "orange", "sky")]
_DASHES = ["", "6 2", "2 2", "8 2 2 2", "4 1", "1 2"]
_STEPS = [1, 2, 2.5, 5, 10]
_MOST = 800  # points of a curve
_MARKERS = ["o", "s", "^", "D", "v", "P"]
SETTINGS: Any = {  # matplotlib's type for the keys has no public name
    "svg.fonttype": "path",  # a page that is read elsewhere has no say in the fonts there
    "font.family": "DejaVu Sans",
    "font.size": 11.5,
    "text.parse_math": False,  # names may hold $
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _RULE,
    "grid.linewidth": 0.7,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "text.color": _INK,
    "lines.linewidth": 1.8,
}


@dataclass(frozen=True)
class Look:
    """How one run is drawn everywhere."""

    colour: str
    dash: str
    marker: str

    @property
    def line(self) -> str | tuple[float, tuple[float, ...]]:
        """The dash as matplotlib writes it."""
        return (0.0, tuple(float(d) / 1.5 for d in self.dash.split())) if self.dash else "-"

    @property
    def points(self) -> dict[str, Any]:
        """How matplotlib draws points of single seeds."""
        edge = {"markeredgecolor": "white", "markeredgewidth": 0.8}
        return {"marker": self.marker, "ls": "", "color": self.colour, "alpha": 0.75, **edge}


def looks(names: Iterable[str]) -> dict[str, Look]:
    """One look a run. Random weights are always grey."""
    chosen = {}
    trained = [name for name in dict.fromkeys(names) if name != RANDOM]
    for i, name in enumerate(trained):
        dash = _DASHES[(i + i // len(_HUES)) % len(_DASHES)]
        chosen[name] = Look(_HUES[i % len(_HUES)], dash, _MARKERS[i % len(_MARKERS)])
    return {**chosen, RANDOM: Look("#6e7781", "3 2", "X")}


def plot_curves(
    curves: Mapping[str, Curve],
    looks: Mapping[str, Look],
    *,
    label: str,
    share: bool = False,
    below: Mapping[str, Curve] | None = None,
    dots: bool = False,
    zero: bool = False,
) -> str:
    """One quantity of several runs over the steps, as a data URI.

    Args:
        label: The quantity with its unit, written along the upright axis.
        share: The values are shares: shown in per cent, from 0 to 100.
        below: A second quantity of the same unit, drawn thin and dotted.
        dots: Marks each value, and averages none; for quantities with few values.
        zero: The axis begins at 0.
    """
    with mpl.rc_context(SETTINGS):
        figure, axes = _figure(4.3, 2.9)
        for name, (steps, values) in curves.items():
            _line(axes, steps, values, looks[name], dots=dots)
        for name, (steps, values) in (below or {}).items():
            axes.plot(
                *thinned(steps, values), color=looks[name].colour, linestyle=":", linewidth=1.3
            )
        axes.set_xlabel("step")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=_STEPS))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
        if zero:
            axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
        if share:
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f} %"))
        return _address(figure, f"{label}{sorted(curves)}")


def _line(
    axes: Axes, steps: Sequence[int], values: Sequence[float], look: Look, *, dots: bool
) -> None:
    """A long curve is drawn faintly, with its moving average over a twentieth of it on top."""
    if dots or len(values) == 1:
        size = 5 if dots else None
        style = {"marker": look.marker, "linestyle": look.line, "markersize": size}
        axes.plot(steps, values, color=look.colour, **style)
        return
    width = len(values) // 20
    if width >= 3:
        axes.plot(*thinned(steps, values), color=look.colour, linewidth=0.8, alpha=0.3)
        values = moving_average(values, width)
    axes.plot(*thinned(steps, values), color=look.colour, linestyle=look.line)


def thinned(
    steps: Sequence[int], values: Sequence[float], most: int = _MOST
) -> tuple[list[int], list[float]]:
    """A curve of at most `most` points: of each stretch its lowest and highest value.

    More can't be seen in a plot of this size, and make a page of many runs large.

    >>> thinned([1, 2, 3, 4, 5, 6], [0.0, 5.0, 1.0, 1.0, 9.0, 2.0], most=4)
    ([1, 2, 4, 5], [0.0, 5.0, 1.0, 9.0])
    """
    if len(values) <= most:
        return list(steps), list(values)
    ends = [len(values) * i // (most // 2) for i in range(most // 2 + 1)]
    places = [
        place
        for start, end in itertools.pairwise(ends)
        for place in sorted(
            {pick(range(start, end), key=values.__getitem__) for pick in (min, max)}
        )
    ]
    return [steps[place] for place in places], [values[place] for place in places]


def moving_average(values: Sequence[float], width: int) -> list[float]:
    """The mean of each value and up to `width` before and after it.

    Windows are differences of running sums: the work doesn't depend on their width.

    >>> moving_average([0.0, 3.0, 6.0], 1)
    [1.5, 3.0, 4.5]
    """
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, np.float64))])
    places = np.arange(len(values))
    ends = np.minimum(places + width + 1, len(values))
    starts = np.maximum(places - width, 0)
    return ((sums[ends] - sums[starts]) / (ends - starts)).tolist()


def plot_stacked(
    bars: Mapping[str, Mapping[str, float]], parts: Sequence[str], *, label: str
) -> str:
    """One row a bar, its parts end to end in the order of `parts`, which have a legend."""
    parts = [part for part in parts if any(bar.get(part) for bar in bars.values())]
    with mpl.rc_context(SETTINGS):
        figure, axes = _figure(4.3, 2.0 + 0.45 * len(bars))
        left = np.zeros(len(bars))
        for i, part in enumerate(parts):
            widths = np.array([bar.get(part, 0.0) for bar in bars.values()])
            hatch = "///" if i >= len(_HUES) else ""
            axes.barh(
                range(len(bars)), widths, 0.6, left=left, label=part, color=_HUES[i % len(_HUES)],
                hatch=hatch, edgecolor="white",
            )  # fmt: skip
            left += widths
        axes.set_yticks(range(len(bars)), list(bars))
        axes.tick_params(axis="y", length=0, labelcolor=_INK)
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=_STEPS))
        axes.set_xlabel(label)
        figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9.5)
        return _address(figure, label + str(list(bars)))


def plot_seeds(
    values: Mapping[str, Sequence[float]],
    looks: Mapping[str, Look],
    *,
    label: str,
    written: Callable[[float], str],
) -> str:
    """One row a backbone, in the given order: seeds as points, the mean as a line and a number."""
    with mpl.rc_context(SETTINGS):
        figure, axes = _figure(5.6, 1.15 + 0.52 * len(values))
        for row, (name, seeds) in enumerate(values.items()):
            look, mean = looks[name], math.fsum(seeds) / len(seeds)
            axes.plot([mean, mean], [row - 0.3, row + 0.3], color=look.colour, linewidth=2.5)
            axes.plot(seeds, [row] * len(seeds), markersize=7.5, clip_on=False, **look.points)
            axes.annotate(written(mean), (mean, row - 0.32), ha="center", va="bottom", fontsize=9.5)
        axes.set_yticks(range(len(values)), list(values))
        axes.tick_params(axis="y", length=0, labelcolor=_INK)
        axes.set_ylim(len(values) - 0.5, -0.75)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=_STEPS))
        axes.set_xlabel(label)
        return _address(figure, label + str(list(values)))


def plot_by_labels(
    values: Mapping[str, Mapping[int | None, Sequence[float]]],
    looks: Mapping[str, Look],
    *,
    label: str,
) -> str:
    """The metric over the number of labelled pictures; seeds as points, means as a line."""
    amounts = sorted({n for by in values.values() for n in by}, key=lambda n: n or math.inf)
    with mpl.rc_context(SETTINGS):
        figure, axes = _figure(5.6, 3.5)
        for i, (name, by) in enumerate(values.items()):
            look = looks[name]
            shift = 0.07 * (i - (len(values) - 1) / 2)
            places = {n: amounts.index(n) + shift for n in by}
            order = sorted(by, key=places.__getitem__)
            means = [math.fsum(by[n]) / len(by[n]) for n in order]
            axes.plot([places[n] for n in order], means, color=look.colour, linestyle=look.line)
            for n, seeds in by.items():
                axes.plot([places[n]] * len(seeds), seeds, markersize=7, **look.points)
        axes.set_xticks(range(len(amounts)), ["all" if n is None else str(n) for n in amounts])
        axes.margins(x=0.1)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=_STEPS))
        axes.set_xlabel("labelled pictures")
        axes.set_ylabel(label)
        return _address(figure, label + str(list(values)))


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    return figure, figure.add_subplot()


def _address(figure: Figure, salt: str) -> str:
    """The figure as a data URI of SVG; the same figure gives the same bytes."""
    written = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(written.getvalue()).decode()
