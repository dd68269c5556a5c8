"""Probes as transfer tasks: heads that are fitted to frozen features in one go."""

from pathlib import Path
from typing import Any

from torch import nn

from detcon.data.labelled.examples import Examples, watched
from detcon.downstream.recipe import TransferRecipe
from detcon.downstream.tasks.probes.classification import PhotoClassification, pool_photos
from detcon.downstream.tasks.probes.linear import fit_linear, fit_probe
from detcon.downstream.tasks.probes.neighbours import bank_of_photos, empty_bank, fill_bank
from detcon.downstream.tasks.probes.recipe import (
    KnnClassificationRecipe,
    KnnSegmentationRecipe,
    LinearClassificationRecipe,
    LinearSegmentationRecipe,
)
from detcon.downstream.tasks.segmentation.task import Segmentation


def linear_segmentation(recipe: LinearSegmentationRecipe) -> Segmentation:
    """A linear layer on each cell."""

    def learn(settings: TransferRecipe, network: Any, train: Examples, folder: Path) -> None:
        examples, num_classes = watched(train, "features"), network.head.out_channels
        features, device = network.frozen_features, network.device
        network.head = fit_probe(features, examples, num_classes, recipe, device)

    return Segmentation(recipe, lambda d, k: nn.Conv2d(d, k, 1), learn)


def knn_segmentation(recipe: KnnSegmentationRecipe) -> Segmentation:
    """The vote of the training cells most like each cell."""

    def learn(settings: TransferRecipe, network: Any, train: Examples, folder: Path) -> None:
        examples, num_classes = watched(train, "features"), network.head.shares.shape[1]
        options = {"seed": settings.seed, "device": network.device}
        features = network.frozen_features
        network.head = fill_bank(features, examples, num_classes, recipe, **options)

    return Segmentation(recipe, lambda d, k: empty_bank(d, k, recipe), learn)


def linear_classification(recipe: LinearClassificationRecipe) -> PhotoClassification:
    """A linear layer on pooled features."""

    def learn(settings: TransferRecipe, network: Any, train: Examples, folder: Path) -> None:
        features, labels = pool_photos(network, train, mirrored=True, workers=settings.workers)
        network.head = fit_linear(features, labels, network.head.out_features, recipe)

    return PhotoClassification(recipe, lambda d, k: nn.Linear(d, k), learn)


def knn_classification(recipe: KnnClassificationRecipe) -> PhotoClassification:
    """The vote of the training photos most like each photo."""

    def learn(settings: TransferRecipe, network: Any, train: Examples, folder: Path) -> None:
        features, labels = pool_photos(network, train, mirrored=False, workers=settings.workers)
        network.head = bank_of_photos(features, labels, network.head.shares.shape[1], recipe)

    return PhotoClassification(recipe, lambda d, k: empty_bank(d, k, recipe), learn)
