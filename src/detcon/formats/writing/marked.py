"""Boxes, areas and classes of the objects in an instance map."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int32, UInt8, UInt16

_SLIVER = 0.002  # of the picture


def is_sliver(mask: Bool[np.ndarray, "y x"]) -> bool:
    """Whether an object is too small to recognise, and formats with crowds call it one.

    It should be neither learnt nor counted.
    """
    return bool(mask.sum() < _SLIVER * mask.size)


def boxes_of(instances: UInt16[np.ndarray, "y x"]) -> Int32[np.ndarray, "k 4"]:
    """The box of each instance's visible pixels: left, top, right, bottom.

    Args:
        instances: Ids 1 to k without gaps, 0 = none.

    Returns:
        In the order of ids; right and bottom are the first column and row outside.
    """
    boxes = np.zeros((int(instances.max()), 4), np.int32)
    for number in range(len(boxes)):
        inside = instances == number + 1
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        boxes[number] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def describe_objects(
    instances: UInt16[np.ndarray, "y x"], labels: UInt8[np.ndarray, "y x"]
) -> list[dict[str, Any]]:
    """A record for the index file of every object: id, class id, box, visible area in pixels."""
    objects = []
    for number, box in enumerate(boxes_of(instances), start=1):
        inside = instances == number
        objects.append(
            {
                "id": number,
                "class": int(labels[inside][0]),
                "box": [int(side) for side in box],
                "area": int(inside.sum()),
            }
        )
    return objects
