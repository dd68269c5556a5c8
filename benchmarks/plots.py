"""The plots of docs/performance.md and docs/performance_history.md, from the committed results.

python benchmarks/plots.py
"""

import json
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from pairs import RESULTS

from detcon.palette import OKABE_ITO

DOCS = Path(__file__).parents[1] / "docs" / "performance"
BLUE, ORANGE, GREEN = (OKABE_ITO[name] for name in ("blue", "orange", "green"))


def figures_of(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())["figures"]


def plot_loss() -> None:
    """Seconds and memory by the number of rows, both methods, beside floor and peer."""
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), sharex=True, layout="constrained")
    for column, kind in enumerate("BS"):
        sizes = [one for one in figures_of("loss")["sizes"] if one["kind"] == kind]
        for row, (field, unit) in enumerate((("seconds", "CPU seconds"), ("mib", "MiB added"))):
            plot = axes[row, column]
            parts = (("ours", BLUE, "o-"), ("floor", GREEN, "s--"), ("lightly", ORANGE, "^-"))
            for who, colour, mark in parts:
                if who == "floor" and field == "mib":
                    continue
                points = [(one["rows"], one[who][field]) for one in sizes if who in one]
                plot.plot(*zip(*points, strict=True), mark, color=colour, label=who)
            plot.set(xscale="log", yscale="log", ylabel=unit)
            plot.grid(alpha=0.3)
            plot.set_title(f"DetCon-{kind}" if row == 0 else "")
            plot.set_xlabel("rows (photos x 16)" if row else "")
    axes[0, 0].legend(frameon=False)
    save_plot(figure, "loss")


def plot_data_path() -> None:
    """Where the milliseconds of a photo go."""
    stages = {
        case: {name: value for name, value in parts.items() if not name.startswith("all")}
        for case, parts in figures_of("data_path")["stages"].items()
    }
    figure, plot = plt.subplots(figsize=(9, 3), layout="constrained")
    names = list(dict.fromkeys(name for parts in stages.values() for name in parts))
    colours = plt.colormaps["tab20"].colors
    left = dict.fromkeys(stages, 0.0)
    for name, colour in zip(names, colours, strict=False):
        widths = [parts.get(name, 0.0) for parts in stages.values()]
        plot.barh(list(stages), widths, left=list(left.values()), color=colour, label=name)
        left = {case: left[case] + parts.get(name, 0.0) for case, parts in stages.items()}
    plot.set_xlabel("CPU milliseconds a photo, two views")
    plot.invert_yaxis()
    plot.legend(frameon=False, ncols=4, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.25))
    save_plot(figure, "data_path")


def save_plot(figure: Any, name: str) -> None:
    DOCS.mkdir(exist_ok=True)
    figure.savefig(DOCS / f"{name}.svg", metadata={"Date": None})
    print(f"wrote docs/performance/{name}.svg")


if __name__ == "__main__":
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "detcon"
    plot_loss()
    plot_data_path()
