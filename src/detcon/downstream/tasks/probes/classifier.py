"""Classified photos and the network that sees them: frozen features, pooled over a centre crop."""

import functools
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor, nn

from detcon.data.labelled.crops import LabelledBatch
from detcon.data.labelled.examples import (
    Examples,
    LabelError,
    LabelledData,
    LabelledSplit,
    keep,
    watched,
)
from detcon.data.workers import make_ahead
from detcon.downstream.network import Network
from detcon.downstream.recipe import TaskSettings
from detcon.downstream.tasks.probes.recipe import CentreRecipe
from detcon.formats.format import ClassifiedPhotos
from detcon.formats.registry import open_classes
from detcon.models.normalisation import Normalisation
from detcon.photos import resize


def centre_crop(
    photo: UInt8[np.ndarray, "y x c"], recipe: CentreRecipe
) -> UInt8[np.ndarray, "{recipe.side} {recipe.side} c"]:
    """Resizes the shorter side, by area where that shrinks it; cuts a square from the middle."""
    height, width = photo.shape[:2]
    factor = recipe.shorter / min(height, width)
    if factor != 1:
        wide, high = (max(recipe.shorter, round(side * factor)) for side in (width, height))
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        photo = resize(photo, (wide, high), how)
    top, left = ((have - recipe.side) // 2 for have in photo.shape[:2])
    return photo[top : top + recipe.side, left : left + recipe.side]


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
        return self.features(images).float().mean((2, 3))

    def scores(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b k"]:
        """The score of each class."""
        return self.head(self.pooled(images)).float()

    @torch.inference_mode()
    def name(self, photo: UInt8[np.ndarray, "y x c"]) -> int:
        """The likeliest class of one photo of any size."""
        image = torch.from_numpy(np.ascontiguousarray(centre_crop(photo, self.centre)))
        return int(self.scores(image.to(self.device).permute(2, 0, 1)[None]).argmax())


BATCH = 64
MEMORY = 32 * 2**30
"""More bytes of features are refused; ImageNet's of a ResNet-50, with mirror images, are 21 GB."""


def open_photos_with_classes(settings: TaskSettings, channels: int) -> LabelledData:
    """Opens the training and the validation photos; labels are class numbers.

    Raises:
        AnnotationError: A part is missing.
    """
    train, val = (
        open_classes(settings.data, settings.format, split, channels=channels)
        for split in ("train", "val")
    )
    splits = [classified(photos, settings.size, channels) for photos in (train, val)]
    return LabelledData(*splits, names=train.names)


def classified(
    photos: ClassifiedPhotos, max_side: int | None = None, channels: int = 3
) -> LabelledSplit:
    """One split of classified photos."""
    return LabelledSplit(photos, _pair, keep, max_side, channels)


def centre_crops(
    examples: Examples, centre: CentreRecipe, *, title: str, workers: int = 0
) -> Iterator[LabelledBatch]:
    """All photos in batches, in order, under a progress bar.

    Raises:
        UnreadablePhoto: A photo is damaged.
    """
    whole = range(len(examples))
    places = [whole[start : start + BATCH] for start in whole[::BATCH]]
    make = functools.partial(_batch, examples, centre)
    yield from make_ahead(make, watched(places, title), workers=workers)


@torch.no_grad()
def pool_photos(
    network: Classifier, examples: Examples, *, mirrored: bool, workers: int = 0
) -> tuple[Float[Tensor, "n d"], Integer[Tensor, " n"]]:
    """The pooled features of photos, and their classes.
    `mirrored` adds their mirror images.

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


def _batch(examples: Examples, centre: CentreRecipe, places: range) -> LabelledBatch:
    chosen = [examples[place] for place in places]
    images = np.stack([centre_crop(example.image, centre) for example in chosen])
    return LabelledBatch(
        torch.from_numpy(images).permute(0, 3, 1, 2),
        torch.tensor([example.labels for example in chosen]),
        torch.tensor(places),
    )


def _pair(
    photos: ClassifiedPhotos, key: str, channels: int
) -> tuple[UInt8[np.ndarray, "y x c"], int]:
    return photos.photo(key, channels), photos.label(key)
