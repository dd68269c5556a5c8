"""Semantic segmentation as a transfer task: what it learns, predicts and scores."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torchmetrics.classification import MulticlassJaccardIndex

from detcon.data.labelled.crops import LabelledCrops, join_maps
from detcon.data.labelled.examples import Example, Examples, LabelledData, watched
from detcon.data.labelled.window import draw_window
from detcon.downstream.network import Network
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.downstream.strips import write_png
from detcon.downstream.task import Learning, Score
from detcon.downstream.tasks.probes.recipe import KnnSegmentationRecipe, LinearSegmentationRecipe
from detcon.downstream.tasks.segmentation.data import (
    VOID,
    cut_labels,
    open_label_data,
    resize_nearest,
)
from detcon.downstream.tasks.segmentation.fcn import Segmenter, fcn_head
from detcon.downstream.tasks.segmentation.recipe import SegmentationRecipe
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
        return Segmenter(backbone.encoder, head, backbone.normalisation)

    def learn(
        self, settings: TransferRecipe, network: Network, train: Examples, folder: Path
    ) -> None:
        self.learning.learn(settings, network, train, folder)

    def score(
        self, settings: TransferRecipe, network: Network, val: Examples, names: tuple[str, ...]
    ) -> Score:
        assert isinstance(network, Segmenter)
        return score(network.classify, watched(val, "scoring"), names, network.device)

    def predict(
        self, network: Network, photo: UInt8[np.ndarray, "y x c"]
    ) -> UInt8[np.ndarray, "y x"]:
        assert isinstance(network, Segmenter)
        return classify_photo(network.classify, photo, network.device)

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


Classifier = Callable[[UInt8[Tensor, "1 c y x"]], UInt8[Tensor, "1 y x"]]
"""Names the class of each pixel of a whole photo."""


def score(
    classify: Classifier,
    examples: Iterable[Example],
    names: tuple[str, ...],
    device: torch.device | str = "cpu",
) -> Score:
    """Classifies whole photos and compares them with the truth.

    Intersection and union are counted over all photos together, as PASCAL VOC does, and void
    pixels are left out whatever was predicted there. The mean is over classes that occur in the
    truth or in a prediction: a class that is neither can't be got right or wrong, while one
    that is predicted and never true counts as 0. (torchmetrics gives 0 for the former as well
    when asked by class; its own macro average leaves them out, as here.)
    """
    metric = MulticlassJaccardIndex(len(names), average="none", ignore_index=VOID).to(device)
    for example in examples:
        predicted = torch.from_numpy(classify_photo(classify, example.image, device)).to(device)
        metric.update(predicted.long(), torch.from_numpy(example.labels).to(device).long())
    return _by_class(metric, names)


@torch.inference_mode()
def classify_photo(
    classify: Classifier, photo: UInt8[np.ndarray, "y x c"], device: torch.device | str
) -> UInt8[np.ndarray, "y x"]:
    """The class of each pixel of one photo."""
    image = torch.from_numpy(photo).to(device).permute(2, 0, 1)[None]
    return classify(image)[0].cpu().numpy()


def _by_class(metric: MulticlassJaccardIndex, names: tuple[str, ...]) -> Score:
    by_class = (100 * metric.compute()).tolist()
    occurs = ((metric.confmat.sum(0) + metric.confmat.sum(1)) > 0).tolist()
    per_class = {n: v if there else None for n, v, there in zip(names, by_class, occurs)}
    counted = [value for value in per_class.values() if value is not None]
    return Score("mIoU", sum(counted) / max(len(counted), 1), per_class=per_class)
