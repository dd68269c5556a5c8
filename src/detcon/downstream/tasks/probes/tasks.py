"""Probes as transfer tasks: heads that are fitted to frozen features in one go."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from detcon.data.labelled.examples import Examples, watched
from detcon.downstream.recipe import TransferRecipe
from detcon.downstream.tasks.probes.classification import PhotoClassification
from detcon.downstream.tasks.probes.classifier import pool_photos
from detcon.downstream.tasks.probes.linear import fit_linear, fit_probe
from detcon.downstream.tasks.probes.neighbours import Bank, bank_of_photos, empty_bank, fill_bank
from detcon.downstream.tasks.probes.recipe import (
    KnnClassificationRecipe,
    KnnSegmentationRecipe,
    LinearClassificationRecipe,
    LinearSegmentationRecipe,
)
from detcon.downstream.tasks.segmentation.task import Segmentation
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


def linear_segmentation(recipe: LinearSegmentationRecipe) -> Segmentation:
    """A linear layer on each cell."""

    def fit(settings: TransferRecipe, network: Any, train: Examples) -> nn.Conv2d:
        examples, num_classes = watched(train, "features"), network.head.out_channels
        return fit_probe(network.features, examples, num_classes, recipe, network.device)

    return Segmentation(recipe, Reading(recipe.iterations, lambda d, k: nn.Conv2d(d, k, 1), fit))


def knn_segmentation(recipe: KnnSegmentationRecipe) -> Segmentation:
    """The vote of the training cells most like each cell."""

    def fit(settings: TransferRecipe, network: Any, train: Examples) -> Bank:
        examples, num_classes = watched(train, "features"), network.head.shares.shape[1]
        seed, device = settings.seed, network.device
        return fill_bank(network.features, examples, num_classes, recipe, seed=seed, device=device)

    return Segmentation(recipe, Reading(0, lambda d, k: empty_bank(d, k, recipe), fit))


def linear_classification(recipe: LinearClassificationRecipe) -> PhotoClassification:
    """A linear layer on pooled features."""

    def fit(settings: TransferRecipe, network: Any, train: Examples) -> nn.Linear:
        features, labels = pool_photos(network, train, mirrored=True, workers=settings.workers)
        return fit_linear(features, labels, network.head.out_features, recipe)

    reading = Reading(recipe.iterations, lambda d, k: nn.Linear(d, k), fit)
    return PhotoClassification(recipe, reading)


def knn_classification(recipe: KnnClassificationRecipe) -> PhotoClassification:
    """The vote of the training photos most like each photo."""

    def fit(settings: TransferRecipe, network: Any, train: Examples) -> Bank:
        features, labels = pool_photos(network, train, mirrored=False, workers=settings.workers)
        return bank_of_photos(features, labels, network.head.shares.shape[1], recipe)

    return PhotoClassification(recipe, Reading(0, lambda d, k: empty_bank(d, k, recipe), fit))
