"""Classified photos as a transfer learns from them: one by one, and in batches of centre crops."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from torch import Tensor

from detcon.data.workers import make_ahead
from detcon.downstream.pictures import Pictures, watched
from detcon.downstream.tasks.probes.classifier import centre_crop
from detcon.downstream.tasks.probes.recipe import CentreRecipe
from detcon.formats.format import ClassifiedPhotos
from detcon.photos import shrink

BATCH = 64


@dataclass(frozen=True)
class ClassifiedPicture:
    """A photo and its class."""

    key: str
    image: UInt8[np.ndarray, "y x c"]
    label: int

    @property
    def nbytes(self) -> int:
        """What keeping it costs."""
        return self.image.nbytes


@dataclass(frozen=True, eq=False)
class ClassifiedSplit:
    """The training or the validation photos.

    Attributes:
        photos: Where they are read from.
        channels: Of the photos.
        max_side: Their longest side when read; None leaves them as they are.
    """

    photos: ClassifiedPhotos
    channels: int = 3
    max_side: int | None = None

    @property
    def keys(self) -> Sequence[str]:
        """The names of the photos."""
        return self.photos.keys

    def read(self, index: int) -> ClassifiedPicture:
        """Decodes a photo.

        Raises:
            UnreadablePhoto: It is missing or damaged.
        """
        key = self.keys[index]
        photo = shrink(self.photos.photo(key, self.channels), self.max_side)
        return ClassifiedPicture(key, photo, self.photos.label(key))


@dataclass(frozen=True)
class ClassifiedBatch:
    """Centre crops and their classes."""

    images: UInt8[Tensor, "b c y x"]
    labels: Integer[Tensor, " b"]

    def to(self, device: torch.device | str) -> "ClassifiedBatch":
        """Moves both."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
        )

    def pin_memory(self) -> "ClassifiedBatch":
        """Called by the data loader when a GPU waits at the other end."""
        return replace(self, images=self.images.pin_memory(), labels=self.labels.pin_memory())


@dataclass(frozen=True)
class _Crops:
    pictures: Pictures
    centre: CentreRecipe

    def __call__(self, places: range) -> ClassifiedBatch:
        items = [self.pictures[place] for place in places]
        images = np.stack([centre_crop(item.image, self.centre) for item in items])
        labels = torch.tensor([item.label for item in items])
        return ClassifiedBatch(torch.from_numpy(images).permute(0, 3, 1, 2), labels)


def crops_of(
    pictures: Pictures, centre: CentreRecipe, *, title: str, workers: int = 0
) -> Iterator[ClassifiedBatch]:
    """All pictures in batches, in order, beneath a progress bar.

    Raises:
        UnreadablePhoto: A photo is damaged.
    """
    whole = range(len(pictures))
    places = [whole[start : start + BATCH] for start in whole[::BATCH]]
    yield from make_ahead(_Crops(pictures, centre), watched(places, title), workers=workers)
