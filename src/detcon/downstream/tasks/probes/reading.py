"""What a probe is: a head that is fitted to frozen features in one go."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import nn

from detcon.downstream.network import Network
from detcon.downstream.pictures import Pictures
from detcon.downstream.recipe import TransferRecipe
from detcon.downstream.task import Task
from detcon.train.environment import open_fabric


@dataclass(frozen=True)
class Reading:
    """How classes are read off frozen features.

    Attributes:
        head: From channels of the features and number of classes to a head that is yet
            to be fitted, or loaded.
        fit: From settings, a network with such a head, in eval mode on its device, and the training
            pictures to the fitted head. The network is left as it is.
    """

    head: Callable[[int, int], nn.Module]
    fit: Callable[[TransferRecipe, Any, Pictures], nn.Module]


@runtime_checkable
class Probe(Task, Protocol):
    """A task whose encoder stays as it is."""

    reading: Reading


def learn_by(reading: Reading, settings: TransferRecipe, network: Network, train: Pictures) -> None:
    """Moves the network to its device, and fits its head."""
    network.to(open_fabric("32", settings.loop.accelerator).device).eval()
    network.head = reading.fit(settings, network, train)
