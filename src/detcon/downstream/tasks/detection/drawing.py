"""Objects on a photo: boxes, masks and names."""

import cv2
import numpy as np
from jaxtyping import UInt8

from detcon.downstream.tasks.detection.detections import Detections
from detcon.palette import class_colours
from detcon.photos import shown

SURE = 0.5
"""Detections of a lower score aren't drawn."""


def draw_detections(
    photo: UInt8[np.ndarray, "y x c"], found: Detections, names: tuple[str, ...]
) -> UInt8[np.ndarray, "y x 3"]:
    """The photo with its surest detections, in the colours of their classes."""
    picture = shown(photo).copy()
    objects, colours = found.objects, class_colours()
    sure = [number for number in range(len(found)) if found.scores[number] >= SURE]
    for number in sure if objects.segments else ():
        mask = objects.mask(number)
        picture[mask] = (picture[mask] // 2) + (colours[int(objects.classes[number])] // 2)
    for number in sure:
        label = int(objects.classes[number])
        left, top, right, bottom = (round(float(side)) for side in objects.boxes[number])
        colour = tuple(int(value) for value in colours[label])
        cv2.rectangle(picture, (left, top), (max(right - 1, left), max(bottom - 1, top)), colour)
        place = (left + 2, max(top - 3, 9))
        for ink, width in (((0, 0, 0), 2), (colour, 1)):
            cv2.putText(picture, names[label], place, cv2.FONT_HERSHEY_SIMPLEX, 0.35, ink, width)
    return picture
