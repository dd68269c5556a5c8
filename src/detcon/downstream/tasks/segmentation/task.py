"""Semantic segmentation as a transfer task: an FCN, fine-tuned."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from detcon.downstream.network import Network
from detcon.downstream.pictures import Labelled, Pictures, watched
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.downstream.task import Score
from detcon.downstream.tasks.segmentation.crops import Crops
from detcon.downstream.tasks.segmentation.fcn import Segmenter, fcn_head
from detcon.downstream.tasks.segmentation.labelled import Picture, open_labelled
from detcon.downstream.tasks.segmentation.recipe import SegmentationRecipe
from detcon.downstream.tasks.segmentation.scoring import classify_picture, score
from detcon.downstream.training import fine_tune
from detcon.models.backbone_file import Backbone
from detcon.palette import class_colours


class Segmentation:
    """Names the class of each pixel."""

    def __init__(self, recipe: SegmentationRecipe) -> None:
        self.recipe = recipe

    @property
    def updates(self) -> int:
        return self.recipe.steps

    def open(self, settings: TaskSettings, channels: int) -> Labelled:
        return open_labelled(
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
        head = fcn_head(
            int(backbone.encoder.num_channels),  # pyright: ignore[reportArgumentType]
            len(names),
            channels=self.recipe.head_channels,
            dilation=self.recipe.dilation,
        )
        mean, std = backbone.normalisation.mean, backbone.normalisation.std
        return Segmenter(backbone.encoder, head, mean=mean, std=std)

    def learn(
        self, settings: TransferRecipe, network: Network, train: Pictures, folder: Path
    ) -> None:
        crop = self.recipe.crop
        crops = Crops(
            train,
            size=(crop, crop) if isinstance(crop, int) else crop,
            seed=settings.seed,
            scale=self.recipe.scale,
            flip=self.recipe.flip,
            fill=network.mean_colour,
        )
        fine_tune(settings, self.recipe, network, train, crops.batch, folder)

    def score(
        self, settings: TransferRecipe, network: Network, val: Pictures, names: tuple[str, ...]
    ) -> Score:
        assert isinstance(network, Segmenter)
        return score(network.classify, watched(val, "judging"), names, network.device)

    def predict(
        self, network: Network, photo: UInt8[np.ndarray, "y x c"]
    ) -> UInt8[np.ndarray, "y x"]:
        assert isinstance(network, Segmenter)
        return classify_picture(network.classify, photo, network.device)

    def truth(self, item: Picture) -> UInt8[np.ndarray, "y x"]:
        return item.labels

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
        return np.asarray(cv2.resize(prediction, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT))

    def save(
        self,
        found: Iterable[tuple[str, UInt8[np.ndarray, "y x"]]],
        folder: Path,
        names: tuple[str, ...],
    ) -> None:
        """Class ids in `labels/KEY.png` with the colours of the drawings as palette."""
        for key, labels in found:
            path = folder / "labels" / PurePosixPath(key).with_suffix(".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(labels, "P")
            picture.putpalette(class_colours().tobytes())
            picture.save(path)
