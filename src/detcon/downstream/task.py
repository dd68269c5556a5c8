"""The protocol of transfer tasks: the part of a transfer that knows what the labels mean."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from torch import nn

from detcon.data.labelled.examples import Example, Examples, LabelledData
from detcon.downstream.network import Network
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.models.backbone_file import Backbone


@dataclass(frozen=True)
class Score:
    """The figures of a scored network.

    Attributes:
        metric: What was measured, "mIoU".
        value: The figure; more is better.
        unit: Of the value, "%" or "m".
        per_class: The same by class; None for a class that occurs nowhere.
        figures: Everything else that was measured, by name.
    """

    metric: str
    value: float
    unit: str = "%"
    per_class: dict[str, float | None] = field(default_factory=dict)
    figures: dict[str, float | None] = field(default_factory=dict)


@runtime_checkable
class Task(Protocol):
    """One kind of labels: how to read, learn, score and draw them.

    A prediction is whatever `predict` returns: a label map, objects, depths, a class; `truth`
    gives the same kind from the labels, so that both are drawn alike.
    """

    @property
    def updates(self) -> int:
        """Updates of the network, or iterations of a probe's solver."""
        ...

    def open(self, settings: TaskSettings, channels: int) -> LabelledData:
        """Opens the labelled photos; validates everything it can before training."""
        ...

    def build(
        self, settings: TransferRecipe, backbone: Backbone, names: tuple[str, ...]
    ) -> Network:
        """Puts a fresh head, drawn from torch's generator, on the backbone."""
        ...

    def learn(
        self, settings: TransferRecipe, network: Network, train: Examples, folder: Path
    ) -> None:
        """Trains the network, with its log and checkpoints in `folder`; leaves it in eval mode."""
        ...

    def score(
        self, settings: TransferRecipe, network: Network, val: Examples, names: tuple[str, ...]
    ) -> Score:
        """Scores the network on photos that it hasn't learnt from."""
        ...

    def predict(self, network: Network, photo: UInt8[np.ndarray, "y x c"]) -> Any:
        """The network's prediction for one photo."""
        ...

    def truth(self, example: Example) -> Any:
        """The labels of one photo as a prediction."""
        ...

    def draw(
        self, photo: UInt8[np.ndarray, "y x c"], prediction: Any, names: tuple[str, ...]
    ) -> UInt8[np.ndarray, "y x 3"]:
        """Draws a prediction, at the photo's size."""
        ...

    def enlarge(self, prediction: Any, size: tuple[int, int]) -> Any:
        """The prediction for the photo at its own height and width, before it was shrunk."""
        ...

    def save(self, found: Iterable[tuple[str, Any]], folder: Path, names: tuple[str, ...]) -> None:
        """Writes predictions by the key of their photo, in the format usual for the task."""
        ...


@runtime_checkable
class Learning(Protocol):
    """How the head of a task is made and learnt: by fine-tuning, or by a probe."""

    @property
    def updates(self) -> int:
        """Updates of the network, or iterations of a probe's solver."""
        ...

    def head(self, channels: int, num_classes: int, /) -> nn.Module:
        """A fresh head, drawn from torch's generator, for features of this many channels."""
        ...

    def learn(self, settings: TransferRecipe, network: Any, train: Examples, folder: Path) -> None:
        """As `Task.learn`."""
        ...
