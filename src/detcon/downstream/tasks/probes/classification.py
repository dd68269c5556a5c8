"""Naming the class of whole photos as a transfer task."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from detcon.downstream.network import Network
from detcon.downstream.pictures import Labelled, Pictures
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.downstream.task import Score
from detcon.downstream.tasks.probes.accuracy import judge
from detcon.downstream.tasks.probes.classified import ClassifiedPicture, ClassifiedSplit, crops_of
from detcon.downstream.tasks.probes.classifier import Classifier
from detcon.downstream.tasks.probes.reading import Reading, learn_by
from detcon.downstream.tasks.probes.recipe import (
    KnnClassificationRecipe,
    LinearClassificationRecipe,
)
from detcon.files import write_whole
from detcon.formats.registry import open_classes
from detcon.models.backbone_file import Backbone
from detcon.palette import class_colours
from detcon.photos import shown


class Classification:
    """Names the class of each photo from frozen features; a prediction is the class's number.

    Attributes:
        reading: How classes are read off pooled features.
    """

    def __init__(
        self, recipe: LinearClassificationRecipe | KnnClassificationRecipe, reading: Reading
    ) -> None:
        self.recipe = recipe
        self.reading = reading

    @property
    def updates(self) -> int:
        return getattr(self.recipe, "iterations", 0)

    def open(self, settings: TaskSettings, channels: int) -> Labelled:
        train, val = (
            open_classes(settings.data, settings.format, split, channels=channels)
            for split in ("train", "val")
        )
        return Labelled(
            ClassifiedSplit(train, channels, settings.size),
            ClassifiedSplit(val, channels, settings.size),
            train.names,
        )

    def build(
        self, settings: TransferRecipe, backbone: Backbone, names: tuple[str, ...]
    ) -> Classifier:
        channels = int(backbone.encoder.num_channels)  # pyright: ignore[reportArgumentType]
        return Classifier(
            backbone.encoder,
            self.reading.head(channels, len(names)),
            centre=self.recipe.centre,
            mean=backbone.normalisation.mean,
            std=backbone.normalisation.std,
        )

    def learn(
        self, settings: TransferRecipe, network: Network, train: Pictures, folder: Path
    ) -> None:
        learn_by(self.reading, settings, network, train)

    def score(
        self, settings: TransferRecipe, network: Network, val: Pictures, names: tuple[str, ...]
    ) -> Score:
        assert isinstance(network, Classifier)
        batches = crops_of(val, network.centre, title="judging", workers=settings.workers)
        return judge(network, batches, names)

    def predict(self, network: Network, photo: UInt8[np.ndarray, "y x c"]) -> int:
        assert isinstance(network, Classifier)
        return network.name(photo)

    def truth(self, item: ClassifiedPicture) -> int:
        return item.label

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
