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


_FONT = cv2.FONT_HERSHEY_SIMPLEX, 0.35


def draw_detections(
    photo: UInt8[np.ndarray, "y x c"], found: Detections, names: tuple[str, ...]
) -> UInt8[np.ndarray, "y x 3"]:
    """The photo with the detections, in the colours of their classes.

    A class is also named, with the score where there is one below 1, where the words fit the box:
    on small objects they would hide others.
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
        texts = [names[label]]
        if found.scores[number] < 1:  # a true object has 1
            texts.insert(0, f"{names[label]} {found.scores[number]:.2f}")
        fitting = [one for one in texts if _fits(one, right - left, bottom - top)]
        place = (left + 2, max(top - 3, 9))
        for text in fitting[:1]:
            for ink, width in (((0, 0, 0), 2), (colour, 1)):
                cv2.putText(drawn, text, place, *_FONT, ink, width)
    return drawn


def _fits(text: str, width: int, height: int) -> bool:
    (wide, high), _ = cv2.getTextSize(text, *_FONT, 1)
    return wide + 4 <= width and high + 4 <= height
