"""Transfer tasks: their protocol, and where each kind is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from detcon.data.labelled.examples import Example, Examples, LabelledData
from detcon.downstream.network import Network
from detcon.downstream.recipe import TaskRecipe, TaskSettings, TransferRecipe
from detcon.models.backbone_file import Backbone

Photo = UInt8[np.ndarray, "y x c"]
"""The pixels of an upright photo."""
PhotosOfSizes = Sequence[UInt8[np.ndarray, "_ _ c"]]
"""Photos of any sizes."""
Drawing = UInt8[np.ndarray, "y x 3"]
"""An RGB picture."""
Names = tuple[str, ...]
"""The names of the classes, by number; empty where a task has none."""
Learn = Callable[[TransferRecipe, Any, Examples, Path], None]
"""As `Task.learn`."""


@dataclass(frozen=True)
class Score:
    """The figures of a scored network.

    Attributes:
        metric: What was measured, "mIoU".
        value: The figure in per cent; more is better.
        per_class: The same by class; None for a class that occurs nowhere.
        figures: Everything else that was measured, by name.
    """

    metric: str
    value: float
    per_class: dict[str, float | None] = field(default_factory=dict)
    figures: dict[str, float | None] = field(default_factory=dict)


@runtime_checkable
class Task(Protocol):
    """One kind of labels: how to read, learn, score and draw them.

    A prediction is what `predict` returns: a label map, objects, depths or a class. `truth` gives
    the labels in the same form, so that both are drawn alike.
    """

    @property
    def objects(self) -> Callable[[Any, Names], Any] | None:
        """Turns a prediction into `Detections`, to be corrected by people; None if it can't."""
        ...

    def open(self, settings: TaskSettings, channels: int) -> LabelledData:
        """Opens the labelled photos; validates everything it can before training."""
        ...

    def check(self, train: Examples, val: Examples, names: Names) -> None:
        """Raises a `LabelError` where there is nothing to learn or to score on."""
        ...

    def build(self, settings: TransferRecipe, backbone: Backbone, names: Names) -> Network:
        """Puts a fresh head, drawn from torch's generator, on the backbone."""
        ...

    def learn(
        self, settings: TransferRecipe, network: Any, train: Examples, folder: Path, /
    ) -> None:
        """Trains the network, with its log and checkpoints in `folder`; leaves it in eval mode."""
        ...

    def score(self, settings: TransferRecipe, network: Any, val: Examples, names: Names) -> Score:
        """Scores the network on photos that it hasn't learnt from."""
        ...

    def predict(self, network: Any, photos: PhotosOfSizes) -> list[Any]:
        """The network's predictions for photos of any sizes, in batches."""
        ...

    def truth(self, example: Example) -> Any:
        """The labels of one photo as a prediction."""
        ...

    def draw(self, photo: Photo, prediction: Any, names: Names) -> Drawing:
        """Draws a prediction, at the photo's size."""
        ...

    def enlarge(self, prediction: Any, size: tuple[int, int]) -> Any:
        """The prediction for the photo at its own height and width, before it was shrunk."""
        ...

    def save(self, prediction: Any, key: str, folder: Path, names: Names) -> Any:
        """Writes a photo's file in the task's usual format; returns what `finish` needs (JSON)."""
        ...

    def finish(self, rows: Mapping[str, Any], folder: Path, names: Names) -> None:
        """Writes the file of all photos, if there is one, by the keys of the photos."""
        ...


TASKS = {
    "segmentation": "segmentation.task:segmentation",
    "detection": "detection.task:Detection",
    "depth": "depth.task:Depth",
    "linear_segmentation": "probes.tasks:linear_segmentation",
    "knn_segmentation": "probes.tasks:knn_segmentation",
    "linear_classification": "probes.tasks:linear_classification",
    "knn_classification": "probes.tasks:knn_classification",
    "own": "own.task:own",
}
"""Where each kind is: loaded when asked for."""


def open_task(recipe: TaskRecipe) -> Task:
    """The task that a recipe describes."""
    module, _, make = TASKS[recipe.kind].partition(":")
    return getattr(import_module(f"detcon.downstream.tasks.{module}"), make)(recipe)
