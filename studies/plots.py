"""The plots of docs/results.md, from the committed results.

python studies/plots.py
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from detcon.palette import OKABE_ITO

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs" / "results"
METHODS = {
    "detcon_s": ("DetCon-S", "blue", "o"),
    "detcon_b": ("DetCon-B", "sky", "s"),
    "simclr": ("SimCLR", "vermillion", "^"),
    "byol": ("BYOL", "orange", "v"),
    "random": ("random weights", "green", "D"),
}


def points(folder: str, **wanted: Any) -> Iterator[tuple[str, int, float]]:
    """Method, labels and value of each cell whose fields are as wanted."""
    for path in sorted((RESULTS / folder).glob("*.json")):
        line = json.loads(path.read_text())
        cell = line["cell"]
        if all(cell.get(name, 0.0) == value for name, value in wanted.items()):
            yield cell["method"], cell["labels"], line["result"]["value"]


def draw(plot: Any, found: Sequence[tuple[str, int, float]], title: str, unit: str) -> None:
    """Every seed as a point, the means joined; the methods side by side where labels are equal."""
    amounts = sorted({labels for _, labels, _ in found})
    present = [method for method in METHODS if any(m == method for m, _, _ in found)]
    for number, method in enumerate(present):
        name, colour, mark = METHODS[method]
        places, means = [], []
        for place, labels in enumerate(amounts):
            values = [v for m, n, v in found if (m, n) == (method, labels)]
            if values:
                x = place + 0.13 * (number - (len(present) - 1) / 2)
                plot.plot([x] * len(values), values, mark, color=OKABE_ITO[colour], alpha=0.45)
                places.append(x)
                means.append(mean(values))
        plot.plot(places, means, mark + "-", color=OKABE_ITO[colour], label=name, mec="black")
    plot.set_xticks(range(len(amounts)), [str(labels) for labels in amounts])
    plot.set(title=title, xlabel="labelled pictures", ylabel=unit)
    plot.grid(alpha=0.3, axis="y")


def plot_camvid() -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    tasks = {"linear_segmentation": "Linear probe", "segmentation": "Fine-tuned (FCN)"}
    for plot, (task, title) in zip(axes, tasks.items(), strict=True):
        wanted = {"stage": "final", "task": task, "masks": "felzenszwalb", "tuning": 0.0}
        found = [one for one in points("camvid", **wanted) if one[0] in METHODS]
        draw(plot, found, f"CamVid: {title}", "mIoU (%)")
    axes[0].legend(frameon=False, fontsize=8)
    save_plot(figure, "camvid")


def plot_composites() -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    tasks = {"linear_segmentation": ("Linear probe", "mIoU (%)")} | {
        "detection": ("Mask R-CNN", "mask AP (%)")
    }
    for plot, (task, (title, unit)) in zip(axes, tasks.items(), strict=True):
        found = list(points("composites", stage="many", task=task, masks="exact"))
        draw(plot, found, f"Composites: {title}", unit)
    axes[0].legend(frameon=False, fontsize=8)
    save_plot(figure, "composites")


def plot_rooms() -> None:
    figure, plot = plt.subplots(figsize=(5.5, 4), layout="constrained")
    draw(plot, list(points("rooms/final", task="depth")), "Rooms: depth", "delta1 (%)")
    plot.legend(frameon=False, fontsize=8)
    save_plot(figure, "rooms")


def save_plot(figure: Any, name: str) -> None:
    DOCS.mkdir(exist_ok=True)
    figure.savefig(DOCS / f"{name}.svg", metadata={"Date": None})
    print(f"wrote docs/results/{name}.svg")


if __name__ == "__main__":
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "detcon"
    plot_camvid()
    plot_composites()
    plot_rooms()
