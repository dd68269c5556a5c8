"""Probes as transfer tasks: what can be read off frozen features."""

from pathlib import Path

from torch import nn

from detcon.downstream.network import Network
from detcon.downstream.pictures import Pictures, watched
from detcon.downstream.recipe import TransferRecipe
from detcon.downstream.tasks.probes.classification import Classification
from detcon.downstream.tasks.probes.classifier import Classifier
from detcon.downstream.tasks.probes.knn_classification import bank_of_photos
from detcon.downstream.tasks.probes.knn_segmentation import fill_bank
from detcon.downstream.tasks.probes.linear_classification import fit_linear
from detcon.downstream.tasks.probes.linear_segmentation import fit_probe
from detcon.downstream.tasks.probes.neighbours import Bank, empty_bank
from detcon.downstream.tasks.probes.pooled import pool_pictures
from detcon.downstream.tasks.probes.reading import Reading, learn_by
from detcon.downstream.tasks.probes.recipe import (
    KnnClassificationRecipe,
    KnnSegmentationRecipe,
    LinearClassificationRecipe,
    LinearSegmentationRecipe,
)
from detcon.downstream.tasks.segmentation.fcn import Segmenter
from detcon.downstream.tasks.segmentation.task import Segmentation
from detcon.models.backbone_file import Backbone


class FrozenSegmentation(Segmentation):
    """Names the class of each pixel from frozen features.

    Attributes:
        reading: How classes are read off the cells of features.
    """

    def __init__(
        self, recipe: LinearSegmentationRecipe | KnnSegmentationRecipe, reading: Reading
    ) -> None:
        self.recipe = recipe
        self.reading = reading

    @property
    def updates(self) -> int:
        return getattr(self.recipe, "iterations", 0)

    def build(
        self, settings: TransferRecipe, backbone: Backbone, names: tuple[str, ...]
    ) -> Segmenter:
        channels = int(backbone.encoder.num_channels)  # pyright: ignore[reportArgumentType]
        mean, std = backbone.normalisation.mean, backbone.normalisation.std
        head = self.reading.head(channels, len(names))
        return Segmenter(backbone.encoder, head, mean=mean, std=std)

    def learn(
        self, settings: TransferRecipe, network: Network, train: Pictures, folder: Path
    ) -> None:
        learn_by(self.reading, settings, network, train)


def linear_segmentation(recipe: LinearSegmentationRecipe) -> FrozenSegmentation:
    """A linear layer on each cell."""
    return FrozenSegmentation(recipe, Reading(lambda d, k: nn.Conv2d(d, k, 1), _fit_cells))


def knn_segmentation(recipe: KnnSegmentationRecipe) -> FrozenSegmentation:
    """The vote of the training cells most like each cell."""
    return FrozenSegmentation(
        recipe, Reading(lambda d, k: empty_bank(d, k, recipe), _remember_cells)
    )


def linear_classification(recipe: LinearClassificationRecipe) -> Classification:
    """A linear layer on pooled features."""
    return Classification(recipe, Reading(lambda d, k: nn.Linear(d, k), _fit_photos))


def knn_classification(recipe: KnnClassificationRecipe) -> Classification:
    """The vote of the training photos most like each photo."""
    return Classification(recipe, Reading(lambda d, k: empty_bank(d, k, recipe), _remember_photos))


def _fit_cells(settings: TransferRecipe, network: Segmenter, train: Pictures) -> nn.Conv2d:
    assert isinstance(network.head, nn.Conv2d)
    return fit_probe(
        network.features,
        watched(train, "features"),
        network.head.out_channels,
        settings.task,
        network.device,
    )


def _remember_cells(settings: TransferRecipe, network: Segmenter, train: Pictures) -> Bank:
    assert isinstance(network.head, Bank)
    return fill_bank(
        network.features,
        watched(train, "features"),
        network.head.shares.shape[1],
        settings.task,
        seed=settings.seed,
        device=network.device,
    )


def _fit_photos(settings: TransferRecipe, network: Classifier, train: Pictures) -> nn.Linear:
    assert isinstance(network.head, nn.Linear)
    features, labels = pool_pictures(network, train, mirrored=True, workers=settings.workers)
    return fit_linear(features, labels, network.head.out_features, settings.task)


def _remember_photos(settings: TransferRecipe, network: Classifier, train: Pictures) -> Bank:
    assert isinstance(network.head, Bank)
    features, labels = pool_pictures(network, train, mirrored=False, workers=settings.workers)
    return bank_of_photos(features, labels, network.head.shares.shape[1], settings.task)
