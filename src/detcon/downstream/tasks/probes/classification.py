"""Classification of whole photos as a transfer task: top-1 and top-5 accuracy."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Integer, UInt8
from torch import Tensor

from detcon.data.labelled.crops import LabelledBatch
from detcon.data.labelled.examples import Example, Examples, LabelledData
from detcon.downstream.network import Network
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.downstream.task import Learning, Score
from detcon.downstream.tasks.probes.classifier import (
    Classifier,
    centre_crops,
    open_photos_with_classes,
)
from detcon.downstream.tasks.probes.recipe import (
    KnnClassificationRecipe,
    LinearClassificationRecipe,
)
from detcon.files import write_whole
from detcon.models.backbone_file import Backbone
from detcon.palette import class_colours
from detcon.photos import shown


@dataclass(frozen=True)
class PhotoClassification:
    """Classifies photos from frozen features; a prediction is the number of a class.

    Attributes:
        recipe: Settings of the task.
        learning: How classes are read off pooled features.
    """

    recipe: LinearClassificationRecipe | KnnClassificationRecipe
    learning: Learning

    @property
    def updates(self) -> int:
        return self.learning.updates

    def open(self, settings: TaskSettings, channels: int) -> LabelledData:
        return open_photos_with_classes(settings, channels)

    def build(
        self, settings: TransferRecipe, backbone: Backbone, names: tuple[str, ...]
    ) -> Classifier:
        head = self.learning.head(backbone.channels, len(names))
        return Classifier(backbone.encoder, head, backbone.normalisation, self.recipe.centre)

    def learn(
        self, settings: TransferRecipe, network: Network, train: Examples, folder: Path
    ) -> None:
        self.learning.learn(settings, network, train, folder)

    def score(
        self, settings: TransferRecipe, network: Network, val: Examples, names: tuple[str, ...]
    ) -> Score:
        assert isinstance(network, Classifier)
        batches = centre_crops(val, network.centre, title="scoring", workers=settings.workers)
        return score(network, batches, names)

    def predict(self, network: Network, photo: UInt8[np.ndarray, "y x c"]) -> int:
        assert isinstance(network, Classifier)
        return network.name(photo)

    def truth(self, example: Example) -> int:
        return example.labels

    def draw(
        self, photo: UInt8[np.ndarray, "y x c"], prediction: int, names: tuple[str, ...]
    ) -> UInt8[np.ndarray, "y x 3"]:
        """The photo with the name of the class below, on the colour of the class."""
        drawn = shown(photo).copy()
        height, width = drawn.shape[:2]
        bar = max(8, height // 8)
        scale = min(bar / 32, width / (20 * max(1, len(names[prediction]))))
        drawn[-bar:] = class_colours()[prediction % 255]
        return cv2.putText(
            drawn,
            names[prediction],
            (2, height - bar // 3),
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            (255, 255, 255),
            1,
            cv2.LINE_AA,
        )

    def enlarge(self, prediction: int, size: tuple[int, int]) -> int:
        return prediction

    def save(self, found: Iterable[tuple[str, int]], folder: Path, names: tuple[str, ...]) -> None:
        """Photos and the names of their classes in `classes.csv`."""
        lines = io.StringIO()
        rows = csv.writer(lines)
        rows.writerow(("photo", "class"))
        rows.writerows((key, names[number]) for key, number in found)
        write_whole(folder / "classes.csv", lines.getvalue())


FIRST = 5


def is_among_first(
    scores: Float[Tensor, "b k"], labels: Integer[Tensor, " b"], num: int
) -> Bool[Tensor, " b"]:
    """Whether the right class has one of the `num` highest scores.

    A tie counts as a miss: a vote of neighbours gives most classes 0, and one of those is no guess.
    A score that is no number is a miss too.
    """
    own = scores.gather(1, labels[:, None])
    return (~(scores < own)).sum(1) <= num


@torch.inference_mode()
def score(network: Classifier, batches: Iterable[LabelledBatch], names: tuple[str, ...]) -> Score:
    """Top-1 accuracy in per cent, the same by class, and `top-5` from six classes on."""
    photos, right = torch.zeros(2, len(names), dtype=torch.float64)
    among = 0
    for batch in batches:
        batch = batch.to(network.device)
        scores = network.scores(batch.images)
        first = is_among_first(scores, batch.labels, 1)
        photos += torch.bincount(batch.labels, minlength=len(names)).cpu()
        right += torch.bincount(batch.labels[first], minlength=len(names)).cpu()
        among += int(is_among_first(scores, batch.labels, FIRST).sum())
    shares = (100 * right / photos).tolist()
    per_class = {n: s if seen else None for n, s, seen in zip(names, shares, photos.tolist())}
    total = float(photos.sum())
    reached = Score("accuracy", 100 * float(right.sum()) / total, per_class=per_class)
    if len(names) > FIRST:
        reached.figures[f"top-{FIRST}"] = 100 * among / total
    return reached
