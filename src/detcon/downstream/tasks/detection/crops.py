"""Training crops of photos with objects, as batches."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

from detcon.downstream.pictures import Pictures
from detcon.downstream.tasks.detection.labelled import Picture
from detcon.downstream.tasks.detection.windows import Window, draw_window

LEAST_SIDE = 1.0
"""Pixels of a box that are to be seen, along either side, or the object isn't learnt."""


@dataclass(frozen=True)
class DetectionBatch:
    """Square crops and the objects in them, those of a photo together.

    Attributes:
        images: The crops.
        boxes: Left, top, right, bottom in pixels, "n 4" for each photo.
        classes: From 0, "n" for each photo.
        masks: "n y x" for each photo; empty where boxes alone are learnt.
        index: The photo's number among the training photos.
    """

    images: UInt8[Tensor, "b c y x"]
    boxes: tuple[Float[Tensor, "_ 4"], ...]
    classes: tuple[Integer[Tensor, " _"], ...]
    masks: tuple[UInt8[Tensor, "_ y x"], ...]
    index: Integer[Tensor, " b"]

    def to(self, device: torch.device | str) -> "DetectionBatch":
        """Moves what the network reads; `index` stays on the host."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=True),
            **{n: _each(getattr(self, n), device) for n in ("boxes", "classes", "masks")},
        )

    def pin_memory(self) -> "DetectionBatch":
        """Called by the data loader when a GPU waits at the other end."""
        parts = {n: getattr(self, n) for n in ("boxes", "classes", "masks")}
        return replace(
            self,
            images=self.images.pin_memory(),
            **{name: tuple(part.pin_memory() for part in each) for name, each in parts.items()},
        )


def _each(tensors: tuple[Tensor, ...], device: torch.device | str) -> tuple[Tensor, ...]:
    return tuple(tensor.to(device, non_blocking=True) for tensor in tensors)


def cut_picture(
    picture: Picture, window: Window, *, fill: tuple[int, ...], masks: bool
) -> DetectionBatch:
    """A batch of one: what of a photo and its objects is to be seen in a window.

    Crowds aren't learnt, nor objects of which less than a pixel is left, be it of the box or of
    the mask. A crop may be left without any: then it teaches the background.

    Args:
        picture: The photo.
        window: What to cut out.
        fill: The colour around a small photo; normalised, it should be zero.
        masks: Whether to draw the masks.
    """
    objects = picture.objects
    boxes = window.boxes(objects.boxes)
    sides = boxes[:, 2:] - boxes[:, :2]
    chosen = (sides >= LEAST_SIDE).all(1) & ~objects.crowd
    boxes, classes = boxes[chosen], objects.classes[chosen]
    drawn: tuple[Tensor, ...] = ()
    if masks:
        squares = window.masks(objects, chosen, boxes)
        seen = squares.any((1, 2))
        boxes, classes, drawn = boxes[seen], classes[seen], (torch.from_numpy(squares[seen]),)
    return DetectionBatch(
        torch.from_numpy(window.cut(picture.image, fill)).permute(2, 0, 1)[None],
        (torch.from_numpy(boxes),),
        (torch.from_numpy(classes.astype(np.int64)),),
        drawn,
        torch.tensor([0]),
    )


@dataclass(frozen=True)
class DetectionCrops:
    """Crops by (epoch, number of the photo): each draw comes from these and the seed."""

    pictures: Pictures
    size: int
    seed: int
    scale: tuple[float, float] = (0.8, 1.25)
    flip: float = 0.5
    fill: tuple[int, ...] = (124, 116, 104)
    masks: bool = True

    def __getitem__(self, where: tuple[int, int]) -> DetectionBatch:
        """A batch of one crop.

        Raises:
            ValueError: If the photo or its objects can't be read; OSError likewise.
        """
        epoch, index = where
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, index]))
        picture = self.pictures[index]
        window = draw_window(
            rng, picture.objects.size, size=self.size, scale=self.scale, flip=self.flip
        )
        part = cut_picture(picture, window, fill=self.fill, masks=self.masks)
        return replace(part, index=torch.tensor([index]))

    def batch(self, places: list[tuple[int, int]]) -> DetectionBatch:
        """The crops of several (epoch, number of the photo)."""
        return join([self[place] for place in places])


def join(parts: list[DetectionBatch]) -> DetectionBatch:
    """One batch of several."""
    return DetectionBatch(
        torch.cat([part.images for part in parts]),
        tuple(boxes for part in parts for boxes in part.boxes),
        tuple(classes for part in parts for classes in part.classes),
        tuple(masks for part in parts for masks in part.masks),
        torch.cat([part.index for part in parts]),
    )
