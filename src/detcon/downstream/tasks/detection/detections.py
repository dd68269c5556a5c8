"""Objects with scores, in the pixels of their photo; and their drawing."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from detcon.formats.objects import Objects
from detcon.palette import class_colours
from detcon.photos import shown


@dataclass(frozen=True)
class Detections:
    """Detected objects with their scores; the highest first."""

    objects: Objects
    scores: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.scores)


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
