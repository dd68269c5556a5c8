"""Probes: heads that are fitted to frozen features in one go."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from detcon.data.labelled.examples import Examples
from detcon.downstream.recipe import TransferRecipe
from detcon.train.environment import open_fabric


@dataclass(frozen=True)
class Reading:
    """How classes are read off frozen features.

    Attributes:
        updates: Iterations of the solver; 0 where nothing is fitted.
        head: From channels of the features and number of classes to a head that is yet to be
            fitted, or loaded.
        fit: From settings, a network with such a head, in eval mode on its device, and the training
            examples to the fitted head. The network is left as it is.
    """

    updates: int
    head: Callable[[int, int], nn.Module]
    fit: Callable[[TransferRecipe, Any, Examples], nn.Module]

    def learn(self, settings: TransferRecipe, network: Any, train: Examples, folder: Path) -> None:
        """Moves the network to its device, and fits its head."""
        network.to(open_fabric("32", settings.loop.accelerator).device).eval()
        network.head = self.fit(settings, network, train)
