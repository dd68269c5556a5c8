"""Superpixels: the basins of a contour map, and the graph of their neighbours.

Axes: y x pixels, n superpixels, e borders between two of them, m maps of contours.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int32

from detcon.ops.compiled import compiled


class Superpixels(NamedTuple):
    """A partition of a photo, and its borders.

    Attributes:
        labels: Each pixel's superpixel; numbered in order of their first pixels.
        areas: In pixels.
        boxes: First row, first column, last row, last column.
        ends: The two superpixels of a border, the lower first.
        lengths: Of borders, in pixel edges.
        strengths: Of borders: the sums of each map's contours along them.
    """

    labels: Int32[np.ndarray, "y x"]
    areas: Int32[np.ndarray, " n"]
    boxes: Int32[np.ndarray, "n 4"]
    ends: Int32[np.ndarray, "e 2"]
    lengths: Float64[np.ndarray, " e"]
    strengths: Float64[np.ndarray, "m e"]


def find_superpixels(
    relief: Float32[np.ndarray, "y x"], contours: Float32[np.ndarray, "m y x"]
) -> Superpixels:
    """Cuts a photo along the ridges of a contour map.

    Each pixel flows to its lowest neighbour of four; those that end in one pixel are a
    superpixel. Of equal neighbours the first counts as lower, so that there are no plateaus.

    Args:
        relief: The map that is cut along.
        contours: The maps whose strengths the borders get.
    """
    labels, num = _basins(relief)
    return Superpixels(labels, *_measure(labels, num, contours))


@compiled
def _basins(relief):
    height, width = relief.shape
    flat = relief.ravel()
    down = np.empty(height * width, np.int32)
    for y in range(height):
        for x in range(width):
            here = y * width + x
            lowest, value = here, flat[here]
            if y > 0 and flat[here - width] <= value:
                lowest, value = here - width, flat[here - width]
            if x > 0 and flat[here - 1] <= value and not (
                flat[here - 1] == value and lowest < here - 1
            ):
                lowest, value = here - 1, flat[here - 1]
            if x < width - 1 and flat[here + 1] < value:
                lowest, value = here + 1, flat[here + 1]
            if y < height - 1 and flat[here + width] < value:
                lowest, value = here + width, flat[here + width]
            down[here] = lowest
    labels, num = np.full(height * width, -1, np.int32), 0
    numbers = np.full(height * width, -1, np.int32)
    for pixel in range(height * width):
        bottom = np.int64(pixel)
        while down[bottom] != bottom:
            bottom = np.int64(down[bottom])
        above = np.int64(pixel)
        while down[above] != bottom:
            above, down[above] = np.int64(down[above]), bottom
        if numbers[bottom] < 0:
            numbers[bottom] = num
            num += 1
        labels[pixel] = numbers[bottom]
    return labels.reshape(height, width), num


@compiled
def _measure(labels, num, contours):
    """Areas, boxes, borders, their lengths and strengths."""
    height, width = labels.shape
    num_maps = len(contours)
    areas, boxes = np.zeros(num, np.int32), np.empty((num, 4), np.int32)
    boxes[:, :2], boxes[:, 2:] = max(height, width), -1
    size = 64
    while size < 8 * num:  # a planar graph has fewer than three borders a node
        size *= 2
    slots = np.full(size, -1, np.int32)
    ends = np.empty((3 * num, 2), np.int32)
    lengths, strengths = np.zeros(3 * num), np.zeros((num_maps, 3 * num))
    count = 0
    for y in range(height):
        for x in range(width):
            here = labels[y, x]
            areas[here] += 1
            box = boxes[here]
            box[0], box[1] = min(box[0], y), min(box[1], x)
            box[2], box[3] = max(box[2], y), max(box[3], x)
            for step in range(2):
                v, u = y + step, x + 1 - step
                if v < height and u < width and labels[v, u] != here:
                    there = labels[v, u]
                    low, high = min(here, there), max(here, there)
                    slot = (low * 40503 + high * 30011) & (size - 1)
                    while slots[slot] >= 0 and (
                        ends[slots[slot], 0] != low or ends[slots[slot], 1] != high
                    ):
                        slot = (slot + 1) & (size - 1)
                    if slots[slot] < 0:
                        slots[slot] = count
                        ends[count, 0], ends[count, 1] = low, high
                        count += 1
                    border = slots[slot]
                    lengths[border] += 1
                    for m in range(num_maps):
                        strengths[m, border] += 0.5 * (contours[m, y, x] + contours[m, v, u])
    return areas, boxes, ends[:count].copy(), lengths[:count].copy(), strengths[:, :count].copy()
