"""Runs a detector over photos of any size."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from detcon.data.labelled.window import Window, fitted
from detcon.downstream.tasks.detection.data import encoded
from detcon.downstream.tasks.detection.detections import Detections
from detcon.downstream.tasks.detection.mask_rcnn import Detector
from detcon.formats.objects import Objects

_THRESHOLD = 0.5


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
