"""The objects of one photo: boxes, classes and masks, as detection learns and predicts them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer
from pycocotools import mask as rle


@dataclass(frozen=True)
class Objects:
    """Boxes and masks of objects in an upright photo.

    Attributes:
        size: Height and width of the photo.
        boxes: Left, top, right and bottom edge in pixels from the photo's upper left corner; right
            and bottom are exclusive, so that a box of one pixel is 1 wide.
        classes: From 0, contiguous: the position in the data set's list of names.
        crowd: Whether a box holds many objects that weren't separated; neither learnt nor counted.
        segments: A compressed run-length code of each mask (COCO's; `counts` are bytes); empty
            where a data set has boxes alone.
    """

    size: tuple[int, int]
    boxes: Float[np.ndarray, "n 4"]
    classes: Integer[np.ndarray, " n"]
    crowd: Bool[np.ndarray, " n"]
    segments: tuple[dict[str, Any], ...]

    def __len__(self) -> int:
        return len(self.boxes)

    def mask(self, number: int) -> Bool[np.ndarray, "y x"]:
        """Draws one mask."""
        return rle.decode(self.segments[number]).astype(bool)  # pyright: ignore[reportArgumentType]

    def masks(self) -> Bool[np.ndarray, "n y x"]:
        """Draws all masks. Raises `ValueError` if there are boxes alone."""
        if len(self.segments) != len(self.boxes):
            raise ValueError("these objects have boxes, but no masks")
        if not self.segments:
            return np.zeros((0, *self.size), bool)
        drawn = rle.decode(list(self.segments))  # pyright: ignore[reportArgumentType]
        return np.moveaxis(drawn.astype(bool), 2, 0)
