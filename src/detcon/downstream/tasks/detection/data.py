"""Photos with objects, and the objects of a crop."""

import functools
from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from pycocotools import mask as rle

from detcon.data.labelled.examples import LabelError, LabelledSplit
from detcon.data.labelled.window import Window
from detcon.downstream.recipe import TaskSettings
from detcon.formats.format import ObjectSets, exif_hint
from detcon.formats.objects import Objects
from detcon.formats.registry import open_objects

LEAST_SIDE = 1.0
"""Pixels of a box that must be visible, along either side, or the object isn't learnt."""


def object_split(
    source: ObjectSets, masks: bool = True, max_side: int | None = None, channels: int = 3
) -> LabelledSplit:
    """One split of photos with objects."""
    return LabelledSplit(source, functools.partial(_pair, masks), resized, max_side, channels)


def objects_of(source: ObjectSets, key: str, *, masks: bool) -> Objects:
    """The objects of a photo, with masks or without; the photo isn't decoded.

    Raises:
        LabelError: There are boxes alone, where masks are wanted.
    """
    objects = source.objects(key)
    if not masks:
        return replace(objects, segments=())
    if len(objects.segments) != len(objects):
        raise LabelError(
            f"the objects of {key} have boxes, but no masks; give task.detector.masks=false to "
            f"learn boxes alone"
        )
    return objects


def _pair(
    masks: bool, source: ObjectSets, key: str, channels: int
) -> tuple[UInt8[np.ndarray, "y x c"], Objects]:
    photo, objects = source.photo(key, channels), objects_of(source, key, masks=masks)
    if photo.shape[:2] != tuple(objects.size):
        raise LabelError(
            f"the objects of {key} are in a photo of {objects.size[1]} x {objects.size[0]} pixels, "
            f"but it has {photo.shape[1]} x {photo.shape[0]} (upright); boxes and masks must be "
            f"those of the upright photo{exif_hint(tuple(objects.size), photo.shape[:2])}"
        )
    return photo, objects


class CropObjects(NamedTuple):
    """The objects of a crop; of a batch, a tuple of each by photo."""

    boxes: Any  # [n 4]: left, top, right, bottom in pixels
    classes: Any  # [n], from 0
    masks: Any  # [n y x]; None (of a batch: empty) where boxes alone are learnt


def cut_objects(objects: Objects, window: Window, *, masks: bool) -> CropObjects:
    """The objects that are visible in a window; without any, the crop teaches the background.

    Crowds aren't learnt, nor objects of which less than a pixel of the box or the mask is left.
    """
    boxes = window.cut_boxes(objects.boxes)
    sides = boxes[:, 2:] - boxes[:, :2]
    chosen = (sides >= LEAST_SIDE).all(1) & ~objects.crowd
    boxes, classes = boxes[chosen], objects.classes[chosen]
    drawn = None
    if masks:
        whole = cut_masks(objects, window, chosen, boxes)
        seen = whole.any((1, 2))
        boxes, classes, drawn = boxes[seen], classes[seen], torch.from_numpy(whole[seen])
    return CropObjects(torch.from_numpy(boxes), torch.from_numpy(classes.astype(np.int64)), drawn)


def join_objects(crops: list[CropObjects]) -> CropObjects:
    """The objects of a batch."""
    masks = tuple(crop.masks for crop in crops)
    return CropObjects(
        tuple(crop.boxes for crop in crops),
        tuple(crop.classes for crop in crops),
        () if any(one is None for one in masks) else masks,
    )


def cut_masks(
    objects: Objects,
    window: Window,
    chosen: Bool[np.ndarray, " n"],
    boxes: Float[np.ndarray, "m 4"],
) -> UInt8[np.ndarray, "m h w"]:
    """The masks of the chosen objects, by the nearest pixel, within their boxes in the window."""
    crops = np.zeros((len(boxes), *window.size), np.uint8)
    rows, columns = window.places()
    height, width = window.photo
    for crop, number, box in zip(crops, np.flatnonzero(chosen), boxes, strict=True):
        mask = objects.mask(int(number))
        left, top = np.maximum(np.floor(box[:2]).astype(int) - 1, 0)
        right, bottom = np.ceil(box[2:]).astype(int) + 1
        y, x = rows[top:bottom], columns[left:right]
        known = ((y >= 0) & (y < height))[:, None] & (x >= 0) & (x < width)
        near = mask[y.clip(0, height - 1)][:, x.clip(0, width - 1)]
        crop[top:bottom, left:right] = near & known
    return crops


def encoded(mask: np.ndarray) -> dict[str, Any]:
    """The run-length code of a mask [y x], as `Objects.segments` has it."""
    return rle.encode(np.asfortranarray(mask, np.uint8))  # pyright: ignore[reportReturnType]


def resized(objects: Objects, size: tuple[int, int]) -> Objects:
    """The objects of a photo scaled to this height and width; masks by the nearest pixel."""
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


def has_masks(settings: TaskSettings) -> bool:
    """Whether the first validation photo with objects has their masks, too."""
    val = open_objects(settings.data, settings.format, "val", holdout=settings.holdout)
    found = (val.objects(key) for key in val.keys)
    first = next((objects for objects in found if len(objects)), None)
    return first is None or len(first.segments) == len(first)
