"""What a transfer task is: the part of a transfer that knows what the labels mean."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from detcon.downstream.network import Network
from detcon.downstream.pictures import Labelled, Pictures
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.models.backbone_file import Backbone


@dataclass(frozen=True)
class Score:
    """How well a task was done.

    Attributes:
        metric: What was measured, "mIoU".
        value: How much of it; more is better.
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
    """One kind of labels: how to read, learn, judge and draw them.

    A prediction is whatever `predict` returns: a label map, objects, depths, a class; `truth`
    gives the same kind from the labels, so that both are drawn alike.
    """

    @property
    def updates(self) -> int:
        """Updates of the network, or iterations of a probe's solver."""
        ...

    def open(self, settings: TaskSettings, channels: int) -> Labelled:
        """Opens the labelled pictures; complains of everything that can be seen at once."""
        ...

    def build(
        self, settings: TransferRecipe, backbone: Backbone, names: tuple[str, ...]
    ) -> Network:
        """Puts a fresh head, drawn from torch's generator, on the backbone."""
        ...

    def learn(
        self, settings: TransferRecipe, network: Network, train: Pictures, folder: Path
    ) -> None:
        """Trains the network, with its log and checkpoints in `folder`; leaves it in eval mode."""
        ...

    def score(
        self, settings: TransferRecipe, network: Network, val: Pictures, names: tuple[str, ...]
    ) -> Score:
        """Judges the network on pictures that it hasn't learnt from."""
        ...

    def predict(self, network: Network, photo: UInt8[np.ndarray, "y x c"]) -> Any:
        """What the network says of one photo."""
        ...

    def truth(self, item: Any) -> Any:
        """What the labels say of one picture, as a prediction."""
        ...

    def draw(
        self, photo: UInt8[np.ndarray, "y x c"], prediction: Any, names: tuple[str, ...]
    ) -> UInt8[np.ndarray, "y x 3"]:
        """A picture of a prediction, of the photo's size."""
        ...

    def enlarge(self, prediction: Any, size: tuple[int, int]) -> Any:
        """The prediction for the photo at its own height and width, before it was shrunk."""
        ...

    def save(self, found: Iterable[tuple[str, Any]], folder: Path, names: tuple[str, ...]) -> None:
        """Writes predictions by the key of their photo, in the format usual for the task."""
        ...
