"""Plots of pretraining: quantities, units and captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from detcon.report.figures import Look, plot_curves
from detcon.report.runs import Pretraining


@dataclass(frozen=True)
class Plot:
    """One plot with its title and caption; a legend where it has its own."""

    title: str
    address: str
    caption: str
    alt: str
    legend: Mapping[str, Look] = field(default_factory=dict)


@dataclass(frozen=True)
class Quantity:
    """One logged figure, how its axis is called, and what a reader should know.

    `dots` marks each value of a figure that is measured at some steps only. `zero` lets the axis
    begin at 0: a small fall of what collapses to there must not look like one.
    """

    name: str
    title: str
    label: str
    caption: str
    share: bool = False
    below: str = ""
    dots: bool = False
    zero: bool = False


LOSS = (
    Quantity("loss", "Training loss", "loss (nats)", "Methods have losses of different scales: "
             "compare their courses, not their heights."),
    Quantity("images_per_second", "Throughput", "photos per second", "Photos of which all views "
             "went through the network."),
    Quantity("data_wait", "Waiting for data", "share of time", "Share of the time in which the "
             "network waited for photos.", share=True),
    Quantity("memory", "Memory", "peak (GiB)", "The most that was in use: of a GPU's by tensors, "
             "else of the process itself, without workers."),
)  # fmt: skip

QUALITY = (
    Quantity("probe_mIoU", "Probe: segmentation", "mIoU (%)", "What the frozen encoder of that "
             "step reaches on the labelled pictures of the recipe's probing settings.", dots=True),
    Quantity("probe_accuracy", "Probe: classification", "accuracy (%)", "What the frozen encoder "
             "of that step reaches on the classified photos of the recipe's probing settings.",
             dots=True),
    Quantity("start_agreement", "Neighbours of the start", "share kept", "Of the nearest regions "
             "(in other photos) that a region had at the start of the run, the share that it still "
             "has: how far the encoder went, not whether it got better.", share=True, dots=True),
    Quantity("rankme", "RankMe of the encoder", "directions", "How many directions the features of "
             "regions fill (arXiv 2210.02885). A fall far below the start is a bad sign.",
             dots=True, zero=True),
    Quantity("lidar", "LiDAR of the encoder", "directions", "The same for what tells regions apart "
             "under changes of cut and colour (arXiv 2312.04000).", dots=True, zero=True),
)  # fmt: skip

COLLAPSE = (
    Quantity("embedding_std", "Spread of the embeddings", "std · √d", "Standard deviation of the "
             "unit vectors, mean over dimensions, times √d: 1 spread evenly, 0 collapsed.",
             zero=True),
    Quantity("effective_rank", "Effective rank", "directions", "How many directions the embeddings "
             "vary in; 1 is collapsed.", zero=True),
    Quantity("positive_similarity", "Similarity", "cosine", "Mean cosine with the same mask in the "
             "other view (line) and with everything else (dotted).", below="negative_similarity"),
    Quantity("accuracy", "Nearest is right", "share of regions", "Share of the regions whose "
             "nearest candidate in the batch is the same mask of the same photo.", share=True),
    Quantity("without_positive", "Without a positive", "share of regions", "Share of the sampled "
             "regions whose mask the other view doesn't show.", share=True),
)  # fmt: skip


def plot_quantities(
    runs: Sequence[Pretraining], looks: Mapping[str, Look], quantities: Sequence[Quantity]
) -> list[Plot]:
    """One plot for each quantity that at least one run has logged."""
    plots = []
    for quantity in quantities:
        curves = _curves(runs, quantity.name)
        if curves:
            address = plot_curves(
                curves, looks, label=quantity.label, share=quantity.share,
                below=_curves(runs, quantity.below), dots=quantity.dots, zero=quantity.zero,
            )  # fmt: skip
            alt = f"{quantity.title} over steps of {', '.join(curves)}"
            plots.append(Plot(quantity.title, address, quantity.caption, alt))
    return plots


def _curves(
    runs: Sequence[Pretraining], name: str
) -> dict[str, tuple[Sequence[int], Sequence[float]]]:
    curves = {run.name: run.history.curve(name) for run in runs if name}
    return {name: curve for name, curve in curves.items() if curve[0]}
