"""Semantic segmentation as a transfer task."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch import nn

from detcon.data.labelled.crops import LabelledCrops, join_maps
from detcon.data.labelled.examples import Example, Examples, LabelledData, watched
from detcon.data.labelled.window import draw_window
from detcon.downstream.network import Network
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.downstream.strips import write_png
from detcon.downstream.task import Learning, Score
from detcon.downstream.tasks.probes.recipe import KnnSegmentationRecipe, LinearSegmentationRecipe
from detcon.downstream.tasks.segmentation.data import cut_labels, open_label_data, resize_nearest
from detcon.downstream.tasks.segmentation.fcn import Segmenter, fcn_head
from detcon.downstream.tasks.segmentation.recipe import SegmentationRecipe
from detcon.downstream.tasks.segmentation.scoring import classify_picture, score
from detcon.downstream.tasks.settings import height_and_width
from detcon.downstream.training import fine_tune
from detcon.models.backbone_file import Backbone
from detcon.palette import class_colours


@dataclass(frozen=True)
class Segmentation:
    """Classifies each pixel.

    Attributes:
        recipe: Settings of the task.
        learning: Makes and fits the head: fine-tuning, or a probe.
    """

    recipe: SegmentationRecipe | LinearSegmentationRecipe | KnnSegmentationRecipe
    learning: Learning

    @property
    def updates(self) -> int:
        return self.learning.updates

    def open(self, settings: TaskSettings, channels: int) -> LabelledData:
        return open_label_data(
            settings.data,
            format=settings.format,
            ignore=self.recipe.ignore,
            num_classes=self.recipe.num_classes,
            max_side=settings.size,
            channels=channels,
        )

    def build(
        self, settings: TransferRecipe, backbone: Backbone, names: tuple[str, ...]
    ) -> Segmenter:
        head = self.learning.head(backbone.channels, len(names))
        mean, std = backbone.normalisation.mean, backbone.normalisation.std
        return Segmenter(backbone.encoder, head, mean=mean, std=std)

    def learn(
        self, settings: TransferRecipe, network: Network, train: Examples, folder: Path
    ) -> None:
        self.learning.learn(settings, network, train, folder)

    def score(
        self, settings: TransferRecipe, network: Network, val: Examples, names: tuple[str, ...]
    ) -> Score:
        assert isinstance(network, Segmenter)
        return score(network.classify, watched(val, "judging"), names, network.device)

    def predict(
        self, network: Network, photo: UInt8[np.ndarray, "y x c"]
    ) -> UInt8[np.ndarray, "y x"]:
        assert isinstance(network, Segmenter)
        return classify_picture(network.classify, photo, network.device)

    def truth(self, example: Example) -> UInt8[np.ndarray, "y x"]:
        return example.labels

    def draw(
        self,
        photo: UInt8[np.ndarray, "y x c"],
        prediction: UInt8[np.ndarray, "y x"],
        names: tuple[str, ...],
    ) -> UInt8[np.ndarray, "y x 3"]:
        return class_colours()[prediction]

    def enlarge(
        self, prediction: UInt8[np.ndarray, "y x"], size: tuple[int, int]
    ) -> UInt8[np.ndarray, "Y X"]:
        return resize_nearest(prediction, size)

    def save(
        self,
        found: Iterable[tuple[str, UInt8[np.ndarray, "y x"]]],
        folder: Path,
        names: tuple[str, ...],
    ) -> None:
        """Class ids in `labels/KEY.png` with the colours of the drawings as palette."""
        for key, labels in found:
            path = folder / "labels" / PurePosixPath(key).with_suffix(".png")
            write_png(path, labels, palette=class_colours())


@dataclass(frozen=True)
class FcnFineTuning:
    """Trains the encoder and an FCN on it."""

    recipe: SegmentationRecipe

    @property
    def updates(self) -> int:
        return self.recipe.steps

    def head(self, channels: int, num_classes: int) -> nn.Module:
        width, dilation = self.recipe.head_channels, self.recipe.dilation
        return fcn_head(channels, num_classes, channels=width, dilation=dilation)

    def learn(self, settings: TransferRecipe, network: Any, train: Examples, folder: Path) -> None:
        draw = functools.partial(
            draw_window,
            size=height_and_width(self.recipe.crop),
            scale=self.recipe.scale,
            flip=self.recipe.flip,
        )
        crops = LabelledCrops(
            train, settings.seed, draw, cut_labels, join_maps, network.mean_colour
        )
        fine_tune(settings, self.recipe, network, crops, folder)


def segmentation(recipe: SegmentationRecipe) -> Segmentation:
    """Fine-tunes an FCN."""
    return Segmentation(recipe, FcnFineTuning(recipe))
