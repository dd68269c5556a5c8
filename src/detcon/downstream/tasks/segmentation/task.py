"""Semantic segmentation as a transfer task: what it learns, predicts and scores."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from detcon.data.labelled.examples import Example, Examples, LabelledData, watched
from detcon.downstream.labels import regions_of
from detcon.downstream.pictures import write_png
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.downstream.task import Drawing, Learn, Names, Photo, PhotosOfSizes, Score
from detcon.downstream.tasks.detection.detections import Detections
from detcon.downstream.tasks.probes.recipe import KnnSegmentationRecipe, LinearSegmentationRecipe
from detcon.downstream.tasks.segmentation.data import (
    VOID,
    check_classes,
    cut_labels,
    open_label_data,
    resize_nearest,
)
from detcon.downstream.tasks.segmentation.fcn import Segmenter, fcn_head
from detcon.downstream.tasks.segmentation.recipe import SegmentationRecipe
from detcon.downstream.training import fine_tune
from detcon.files import write_whole
from detcon.models.backbone_file import Backbone
from detcon.palette import class_colours

LabelMap = UInt8[np.ndarray, "y x"]
"""The class of each pixel."""


@dataclass(frozen=True)
class Segmentation:
    """Classifies each pixel.

    Attributes:
        recipe: Settings of the task.
        head: From channels of the features and number of classes to a fresh head.
        learn: Fits the head: by fine-tuning, or as a probe.
    """

    recipe: SegmentationRecipe | LinearSegmentationRecipe | KnnSegmentationRecipe
    head: Callable[[int, int], nn.Module]
    learn: Learn

    def open(self, settings: TaskSettings, channels: int) -> LabelledData:
        return open_label_data(
            settings.data,
            format=settings.format,
            ignore=self.recipe.ignore,
            num_classes=self.recipe.num_classes,
            max_side=settings.size,
            channels=channels,
            holdout=settings.holdout,
        )

    def check(self, train: Examples, val: Examples, names: Names) -> None:
        check_classes(train, "training", names)
        check_classes(val, "validation", names)

    def build(self, settings: TransferRecipe, backbone: Backbone, names: Names) -> Segmenter:
        head = self.head(backbone.channels, len(names))
        return Segmenter(backbone.encoder, head, backbone.normalisation)

    def score(
        self, settings: TransferRecipe, network: Segmenter, val: Examples, names: Names
    ) -> Score:
        return score(network.classify, watched(val, "scoring"), names, network.device)

    def predict(self, network: Segmenter, photos: PhotosOfSizes) -> list[UInt8[np.ndarray, "_ _"]]:
        return network.in_batches(photos, lambda batch: network.classify(batch).cpu().numpy())

    def truth(self, example: Example) -> LabelMap:
        return example.labels

    def draw(self, photo: Photo, prediction: LabelMap, names: Names) -> Drawing:
        return class_colours()[prediction]

    def enlarge(self, prediction: LabelMap, size: tuple[int, int]) -> UInt8[np.ndarray, "Y X"]:
        return resize_nearest(prediction, size)

    def save(self, prediction: LabelMap, key: str, folder: Path, names: Names) -> None:
        """Class ids in `labels/KEY.png` with the colours of the drawings as palette."""
        path = folder / "labels" / PurePosixPath(key).with_suffix(".png")
        write_png(path, prediction, palette=class_colours())

    def finish(self, rows: Mapping[str, Any], folder: Path, names: Names) -> None:
        """The names of the classes in `classes.json`, as a labelled folder has them."""
        write_whole(folder / "classes.json", json.dumps({"names": names, "ignore": VOID}) + "\n")

    def objects(self, prediction: LabelMap, names: Names) -> Detections:
        return regions_of(prediction, names)


def segmentation(recipe: SegmentationRecipe) -> Segmentation:
    """Fine-tunes an FCN."""
    head = partial(fcn_head, channels=recipe.head_channels, dilation=recipe.dilation)

    def learn(settings: TransferRecipe, network: Any, train: Examples, folder: Path) -> None:
        fine_tune(settings, recipe, network, train, folder, cut=cut_labels)

    return Segmentation(recipe, head, learn)


@torch.inference_mode()
def score(
    classify: Callable[[UInt8[Tensor, "1 c y x"]], UInt8[Tensor, "1 y x"]],
    examples: Iterable[Example],
    names: Names,
    device: torch.device | str = "cpu",
) -> Score:
    """Classifies whole photos and compares them with the truth.

    Intersection and union are counted over all photos together, as PASCAL VOC does; void pixels
    are left out. The mean is over the classes that occur in the truth or in a prediction: one that
    is predicted and never true counts as 0.
    """
    num = len(names)
    counts = torch.zeros(num * num, dtype=torch.int64, device=device)
    for example in examples:
        image = torch.from_numpy(example.image).to(device).permute(2, 0, 1)[None]
        labels = torch.from_numpy(example.labels).to(device).long()
        seen = labels != VOID
        counts += torch.bincount(num * labels[seen] + classify(image)[0][seen], minlength=num**2)
    confusion = counts.view(num, num).cpu()  # row: the truth, column: the prediction
    right = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - right
    shares = (100 * right / union).tolist()
    per_class = {n: v if there else None for n, v, there in zip(names, shares, union.tolist())}
    counted = [value for value in per_class.values() if value is not None]
    accuracy = 100 * float(right.sum()) / max(float(confusion.sum()), 1)
    figures: dict[str, float | None] = {"pixel accuracy": accuracy}
    return Score("mIoU", sum(counted) / max(len(counted), 1), per_class, figures)
