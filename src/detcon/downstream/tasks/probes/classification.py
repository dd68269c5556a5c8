"""Classification of whole photos from frozen features, pooled over a centre crop."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Integer, UInt8
from torch import Tensor, nn

from detcon.data.labelled.crops import LabelledBatch
from detcon.data.labelled.examples import (
    Example,
    Examples,
    LabelError,
    LabelledData,
    LabelledSplit,
    keep,
    same_names,
    watched,
)
from detcon.data.workers import make_ahead
from detcon.downstream.network import Network
from detcon.downstream.recipe import TaskSettings, TransferRecipe
from detcon.downstream.task import Drawing, Learn, Names, Photo, PhotosOfSizes, Score
from detcon.downstream.tasks.probes.recipe import (
    CentreRecipe,
    KnnClassificationRecipe,
    LinearClassificationRecipe,
)
from detcon.files import write_whole
from detcon.formats.format import ClassifiedPhotos
from detcon.formats.registry import open_classes
from detcon.models.backbone_file import Backbone
from detcon.models.recipe import Normalisation
from detcon.palette import class_colours
from detcon.photos import resize, shown

BATCH = 64
MEMORY = 32 * 2**30
"""More bytes of features are refused; ImageNet's of a ResNet-50, with mirror images, are 21 GB."""


class Classifier(Network):
    """Classifies photos: an encoder, and a head from pooled features to scores."""

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        normalisation: Normalisation,
        centre: CentreRecipe,
    ) -> None:
        """Joins the two; `centre` is the part of a photo that is looked at."""
        super().__init__(encoder, head, normalisation)
        self.centre = centre

    def pooled(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b d"]:
        """The mean of a photo's features, in 32 bits."""
        return self.frozen_features(images).mean((2, 3))

    def scores(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b k"]:
        """The score of each class."""
        return self.head(self.pooled(images)).float()


@dataclass(frozen=True)
class PhotoClassification:
    """Classifies photos from frozen features; a prediction is the number of a class.

    Attributes:
        recipe: Settings of the task.
        head: From channels of the features and number of classes to a head to be fitted.
        learn: Fits the head to pooled features.
    """

    recipe: LinearClassificationRecipe | KnnClassificationRecipe
    head: Callable[[int, int], nn.Module]
    learn: Learn
    objects: ClassVar[None] = None

    def open(self, settings: TaskSettings, channels: int) -> LabelledData:
        train, val = (
            open_classes(
                settings.data, settings.format, split, channels=channels, holdout=settings.holdout
            )
            for split in ("train", "val")
        )
        splits = [classified(photos, settings.size, channels) for photos in (train, val)]
        return LabelledData(*splits, names=same_names(train, val))

    def check(self, train: Examples, val: Examples, names: Names) -> None:
        source = train.split.source
        first = source.label(train.key(0))
        if all(source.label(train.key(index)) == first for index in range(len(train))):
            raise LabelError(
                f"all {len(train)} training photos are of one class, {names[first]}, but at least "
                f"two classes are needed; use more labels, or another seed"
            )

    def build(self, settings: TransferRecipe, backbone: Backbone, names: Names) -> Classifier:
        head = self.head(backbone.channels, len(names))
        return Classifier(backbone.encoder, head, backbone.normalisation, self.recipe.centre)

    def score(
        self, settings: TransferRecipe, network: Classifier, val: Examples, names: Names
    ) -> Score:
        batches = centre_crops(val, network.centre, title="scoring", workers=settings.workers)
        return score(network, batches, names)

    def predict(self, network: Classifier, photos: PhotosOfSizes) -> list[int]:
        crops = [centre_crop(photo, network.centre) for photo in photos]
        return network.in_batches(crops, lambda batch: network.scores(batch).argmax(1).tolist())

    def truth(self, example: Example) -> int:
        return example.labels

    def draw(self, photo: Photo, prediction: int, names: Names) -> Drawing:
        """The photo with the name of the class below, on the colour of the class."""
        drawn, name = shown(photo).copy(), names[prediction]
        height, width = drawn.shape[:2]
        bar = max(8, height // 8)
        scale = min(bar / 32, width / (20 * max(1, len(name))))
        drawn[-bar:] = class_colours()[prediction % 255]
        place, font, white = (2, height - bar // 3), cv2.FONT_HERSHEY_SIMPLEX, (255, 255, 255)
        return cv2.putText(drawn, name, place, font, scale, white, 1, cv2.LINE_AA)

    def enlarge(self, prediction: int, size: tuple[int, int]) -> int:
        return prediction

    def save(self, prediction: int, key: str, folder: Path, names: Names) -> str:
        return names[prediction]

    def finish(self, rows: Mapping[str, str], folder: Path, names: Names) -> None:
        """Photos and the names of their classes in `classes.csv`."""
        lines = io.StringIO()
        csv.writer(lines).writerows([("photo", "class"), *rows.items()])
        write_whole(folder / "classes.csv", lines.getvalue())


def classified(
    photos: ClassifiedPhotos, max_side: int | None = None, channels: int = 3
) -> LabelledSplit:
    """One split of classified photos; labels are class numbers."""
    return LabelledSplit(photos, _pair, keep, max_side, channels)


def centre_crop(photo: Photo, recipe: CentreRecipe) -> UInt8[np.ndarray, "side side c"]:
    """Resizes the shorter side, by area where that shrinks it; cuts a square from the middle."""
    height, width = photo.shape[:2]
    factor = recipe.shorter / min(height, width)
    if factor != 1:
        wide, high = (max(recipe.shorter, round(side * factor)) for side in (width, height))
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        photo = resize(photo, (wide, high), how)
    top, left = ((have - recipe.side) // 2 for have in photo.shape[:2])
    return photo[top : top + recipe.side, left : left + recipe.side]


def centre_crops(
    examples: Examples, centre: CentreRecipe, *, title: str, workers: int = 0
) -> Iterator[LabelledBatch]:
    """All photos in batches, in order, under a progress bar.

    Raises:
        UnreadablePhoto: A photo is damaged.
    """
    whole = range(len(examples))
    places = [whole[start : start + BATCH] for start in whole[::BATCH]]
    make = partial(_batch, examples, centre)
    yield from make_ahead(make, watched(places, title), workers=workers)


@torch.no_grad()
def pool_photos(
    network: Classifier, examples: Examples, *, mirrored: bool, workers: int = 0
) -> tuple[Float[Tensor, "n d"], Integer[Tensor, " n"]]:
    """The pooled features of photos, of their mirror images too if `mirrored`, and their classes.

    Raises:
        LabelError: More features than can be kept.
        UnreadablePhoto: A photo is damaged.
    """
    features, labels, size = [], [], 0
    for batch in centre_crops(examples, network.centre, title="features", workers=workers):
        batch = batch.to(network.device)
        for images in (batch.images, batch.images.flip(-1))[: 1 + mirrored]:
            features.append(network.pooled(images))
            labels.append(batch.labels)
            size += features[-1].nbytes
        if size > MEMORY:
            raise LabelError(
                f"the features of all labelled photos need more than {MEMORY >> 30} GiB; give "
                f"labels=N to use fewer"
            )
    return torch.cat(features), torch.cat(labels)


FIRST = 5


@torch.inference_mode()
def score(network: Classifier, batches: Iterable[LabelledBatch], names: Names) -> Score:
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


def is_among_first(
    scores: Float[Tensor, "b k"], labels: Integer[Tensor, " b"], num: int
) -> Bool[Tensor, " b"]:
    """Whether the right class has one of the `num` highest scores.

    A tie counts as a miss: a vote of neighbours gives most classes 0, and one of those is no guess.
    NaN is a miss too.
    """
    own = scores.gather(1, labels[:, None])
    return (~(scores < own)).sum(1) <= num


def _batch(examples: Examples, centre: CentreRecipe, places: range) -> LabelledBatch:
    chosen = [examples[place] for place in places]
    images = np.stack([centre_crop(example.image, centre) for example in chosen])
    return LabelledBatch(
        torch.from_numpy(images).permute(0, 3, 1, 2),
        torch.tensor([example.labels for example in chosen]),
        torch.tensor(places),
    )


def _pair(photos: ClassifiedPhotos, key: str, channels: int) -> tuple[Photo, int]:
    return photos.photo(key, channels), photos.label(key)
