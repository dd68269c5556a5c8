"""The objects that a detector finds in a photo, in the photo's own pixels; and their drawing."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from detcon.data.labelled.window import Window, fitted
from detcon.downstream.tasks.detection.data import encoded
from detcon.downstream.tasks.detection.mask_rcnn import Detector
from detcon.formats.objects import Objects
from detcon.palette import class_colours
from detcon.photos import shown

_THRESHOLD = 0.5


@dataclass(frozen=True)
class Detections:
    """Detected objects with their scores; the highest first."""

    objects: Objects
    scores: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.scores)


def detect(network: Detector, photos: Sequence[UInt8[np.ndarray, "_ _ c"]]) -> list[Detections]:
    """Finds the objects of upright photos, each in a square that its longest side fills."""
    square = (network.size, network.size)
    windows = [fitted((photo.shape[0], photo.shape[1]), square) for photo in photos]
    squares = [
        window.cut_photo(photo, network.mean_colour)
        for window, photo in zip(windows, photos, strict=True)
    ]
    found = network.in_batches(squares, network.find)
    return [_in_photo(one, window) for one, window in zip(found, windows, strict=True)]


def _in_photo(found: dict[str, Tensor], window: Window) -> Detections:
    """What was found in a window, in the photo's own pixels."""
    found = {name: value.cpu() for name, value in found.items()}
    boxes = window.boxes_back(found["boxes"].numpy())
    seen = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)  # not in the margin around the photo
    boxes = boxes[seen]
    segments = []  # one at a time: a hundred masks of a large photo would need a gigabyte
    drawn = found["masks"][torch.from_numpy(seen)] if "masks" in found else ()
    for mask, box in zip(drawn, torch.from_numpy(boxes)):
        pasted = paste_masks_in_image(mask[None], box[None], window.photo)[0, 0] >= _THRESHOLD
        segments.append(encoded(pasted.numpy()))
    objects = Objects(
        size=window.photo,
        boxes=boxes,
        classes=found["labels"].numpy()[seen] - 1,
        crowd=np.zeros(len(boxes), bool),
        segments=tuple(segments),
    )
    return Detections(objects, found["scores"].numpy()[seen])


def draw_detections(
    photo: UInt8[np.ndarray, "y x c"], found: Detections, names: tuple[str, ...]
) -> UInt8[np.ndarray, "y x 3"]:
    """The photo with the detections, in the colours of their classes.

    A class is also named where the word fits its box: on small objects it would hide others.
    """
    drawn = shown(photo).copy()
    objects, colours = found.objects, class_colours()
    for number in range(len(found)) if objects.segments else ():
        mask = objects.mask(number)
        drawn[mask] = (drawn[mask] // 2) + (colours[int(objects.classes[number])] // 2)
    for number in range(len(found)):
        label = int(objects.classes[number])
        left, top, right, bottom = (round(float(side)) for side in objects.boxes[number])
        colour = tuple(int(value) for value in colours[label])
        cv2.rectangle(drawn, (left, top), (max(right - 1, left), max(bottom - 1, top)), colour)
        font, name = (cv2.FONT_HERSHEY_SIMPLEX, 0.35), names[label]
        (wide, high), _ = cv2.getTextSize(name, *font, 1)
        if wide + 4 > right - left or high + 4 > bottom - top:
            continue
        place = (left + 2, max(top - 3, 9))
        for ink, width in (((0, 0, 0), 2), (colour, 1)):
            cv2.putText(drawn, name, place, *font, ink, width)
    return drawn
