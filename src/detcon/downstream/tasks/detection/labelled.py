"""Photos with objects: what there is to learn from, read when asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from pycocotools import mask as rle

from detcon.downstream.pictures import LabelError, Labelled
from detcon.formats.format import ObjectSets
from detcon.formats.objects import Objects
from detcon.photos import shrink


@dataclass(frozen=True)
class Picture:
    """A photo and the objects in it."""

    key: str
    image: UInt8[np.ndarray, "y x c"]
    objects: Objects

    @property
    def nbytes(self) -> int:
        """What keeping it costs."""
        codes = sum(len(segment["counts"]) for segment in self.objects.segments)
        return self.image.nbytes + self.objects.boxes.nbytes + codes


@dataclass(frozen=True)
class DetectionSplit:
    """The training or the validation photos of a data set.

    Attributes:
        source: Where they come from.
        masks: Whether masks are wanted.
        max_side: The longest side of the photos as read; None leaves them as they are.
        channels: Of the photos.
    """

    source: ObjectSets
    masks: bool = True
    max_side: int | None = None
    channels: int = 3

    @property
    def keys(self) -> Sequence[str]:
        """The names of the photos."""
        return self.source.keys

    def read(self, index: int) -> Picture:
        """Decodes a photo, and brings its objects to the size that it is shrunk to.

        Raises:
            UnreadablePhoto: The photo is damaged.
            LabelError: The objects are of another size than the photo, or lack masks.
        """
        key = self.keys[index]
        photo, objects = self.source.photo(key, self.channels), self.objects(key)
        if photo.shape[:2] != tuple(objects.size):
            raise LabelError(
                f"the objects of {key} are in a photo of {objects.size[1]} x {objects.size[0]} "
                f"pixels, but it has {photo.shape[1]} x {photo.shape[0]} (upright); boxes and "
                f"masks must be those of the upright photo"
            )
        image = shrink(photo, self.max_side)
        height, width = image.shape[:2]
        return Picture(key, image, resized(objects, (height, width)))

    def objects(self, key: str) -> Objects:
        """The objects of a photo, with masks if these are wanted, without decoding the photo.

        Raises:
            LabelError: There are boxes alone, where masks are wanted.
        """
        objects = self.source.objects(key)
        if not self.masks:
            return replace(objects, segments=())
        if len(objects.segments) != len(objects):
            raise LabelError(
                f"the objects of {key} have boxes, but no masks; give detector.masks=false to "
                f"learn boxes alone"
            )
        return objects


def open_labelled(
    train: ObjectSets, val: ObjectSets, *, masks: bool, max_side: int | None, channels: int
) -> Labelled:
    """Puts the two splits together, and makes sure that there is something to learn and to judge.

    Args:
        train: What to learn from.
        val: What to judge by.
        masks: Whether masks are wanted.
        max_side: The longest side of the photos, shrunk when read.
        channels: Of the photos.

    Raises:
        LabelError: The classes differ, masks are wanted and missing, or no photo of a split has an
            object that isn't a crowd.
    """
    if tuple(train.names) != tuple(val.names):
        raise LabelError(
            f"the training photos have the classes {', '.join(train.names)}, but the validation "
            f"photos have {', '.join(val.names)}; give both the same, in the same order"
        )
    learnt, judged = (DetectionSplit(one, masks, max_side, channels) for one in (train, val))
    for split, name in ((learnt, "training"), (judged, "validation")):
        if not any(not split.objects(key).crowd.all() for key in split.keys):
            raise LabelError(
                f"none of the {len(split.keys)} {name} photos has an object that isn't a crowd; "
                f"annotate some, or correct the folder"
            )
    return Labelled(learnt, judged, tuple(train.names))


def encoded(mask: np.ndarray) -> dict[str, Any]:
    """The run-length code of a mask [y x], as `Objects.segments` has it."""
    return rle.encode(np.asfortranarray(mask, np.uint8))  # pyright: ignore[reportReturnType]


def resized(objects: Objects, size: tuple[int, int]) -> Objects:
    """The objects of a photo that is scaled to this height and width; masks by nearest pixel."""
    if tuple(objects.size) == size:
        return objects
    factors = np.array([size[1] / objects.size[1], size[0] / objects.size[0]] * 2)
    segments = []
    for number in range(len(objects.segments)):
        mask = objects.mask(number).astype(np.uint8)
        small = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        segments.append(encoded(small))
    boxes = (objects.boxes * factors).astype(np.float32)
    return replace(objects, size=size, boxes=boxes, segments=tuple(segments))
