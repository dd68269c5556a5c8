"""Superpixels: the basins of a contour map, and the graph of their neighbours.

Axes: y x pixels, c channels, b bins of all of them, m maps of contours, n superpixels, e borders
between two of them.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int32

from detcon.ops.compiled import compiled

BINS = 16


class Superpixels(NamedTuple):
    """A partition of a photo into connected regions, and its borders."""

    labels: Int32[np.ndarray, "y x"]  # each pixel's superpixel, numbered by first pixel, by rows
    areas: Float64[np.ndarray, " n"]  # in pixels
    boxes: Int32[np.ndarray, "n 4"]  # first row, first column, last row, last column
    histograms: Float32[np.ndarray, "n b"]  # of each channel 16 soft bins that add up to 1
    ends: Int32[np.ndarray, "e 2"]  # the two superpixels that a border separates
    lengths: Float64[np.ndarray, " e"]  # in pixel edges
    strengths: Float64[np.ndarray, "m e"]  # each map's contours, summed along each border


def find_superpixels(
    contours: Float32[np.ndarray, "m y x"], channels: Float32[np.ndarray, "c y x"]
) -> Superpixels:
    """Cuts a photo along the ridges of the first contour map.

    Each pixel flows to its lowest neighbour of four; all that end in one pixel are a superpixel.
    Of equal pixels the earlier one counts as lower, so that there are no plateaus.
    """
    return measure_superpixels(_basins(contours[0]), contours, channels)


def measure_superpixels(
    labels: Int32[np.ndarray, "y x"],
    contours: Float32[np.ndarray, "m y x"],
    channels: Float32[np.ndarray, "c y x"],
) -> Superpixels:
    """Measures a partition whose regions are numbered from 0 without gaps."""
    num = int(labels.max()) + 1
    areas, boxes, histograms = _measure_regions(labels, num, channels)
    borders = _measure_borders(labels, num, contours)
    return Superpixels(labels, areas, boxes, histograms, *borders)


@compiled
def _basins(relief):
    """Each pixel's basin."""
    height, width = relief.shape
    # down: the lowest of a pixel and its four neighbours. Of equal ones the first in reading order
    # wins, hence <= for those above and to the left, and < for those to the right and below.
    down = np.empty(height * width, np.int32)
    for y in range(height):
        for x in range(width):
            v, u = y, x
            if y > 0 and relief[y - 1, x] <= relief[v, u]:
                v, u = y - 1, x
            if x > 0 and (
                relief[y, x - 1] < relief[v, u] or (v == y and relief[y, x - 1] <= relief[v, u])
            ):
                v, u = y, x - 1
            if x < width - 1 and relief[y, x + 1] < relief[v, u]:
                v, u = y, x + 1
            if y < height - 1 and relief[y + 1, x] < relief[v, u]:
                v, u = y + 1, x
            down[y * width + x] = v * width + u
    labels, num = np.empty(height * width, np.int32), 0
    numbers = np.full(height * width, -1, np.int32)
    for pixel in range(height * width):
        bottom = down[pixel]
        while down[bottom] != bottom:
            bottom = down[bottom]
        place = pixel
        while down[place] != bottom:  # shortens the way for the next pixels
            down[place], place = bottom, down[place]
        if numbers[bottom] < 0:
            numbers[bottom] = num
            num += 1
        labels[pixel] = numbers[bottom]
    return labels.reshape(height, width)


@compiled
def _measure_regions(labels, num, channels):
    height, width = labels.shape
    areas, histograms = np.zeros(num), np.zeros((num, len(channels), BINS), np.float32)
    boxes = np.empty((num, 4), np.int32)
    boxes[:, :2], boxes[:, 2:] = max(height, width), -1
    for y in range(height):
        for x in range(width):
            here = labels[y, x]
            areas[here] += 1
            box = boxes[here]
            box[0], box[1] = min(box[0], y), min(box[1], x)
            box[2], box[3] = max(box[2], y), max(box[3], x)
            for c in range(len(channels)):
                value = channels[c, y, x] * np.float32(BINS - 1)
                low = max(0, min(int(value), BINS - 2))
                above = value - np.float32(low)
                histograms[here, c, low] += np.float32(1) - above
                histograms[here, c, low + 1] += above
    for here in range(num):
        histograms[here] /= np.float32(areas[here])
    return areas, boxes, histograms.reshape(num, len(channels) * BINS)


@compiled
def _measure_borders(labels, num, contours):
    """Pairs of neighbours in the order in which they are met, lengths and strengths of borders."""
    height, width = labels.shape
    # slots: a hash table with open addressing, from a pair of superpixels to its border
    size = 64
    while size < 8 * num:
        size *= 2
    slots, most = np.full(size, -1, np.int32), 3 * num  # no planar graph has more borders
    ends, lengths = np.empty((most, 2), np.int32), np.zeros(most)
    strengths, count = np.zeros((len(contours), most)), 0
    for y in range(height):
        for x in range(width):
            for down in range(2):
                v, u = y + down, x + 1 - down
                if v == height or u == width or labels[v, u] == labels[y, x]:
                    continue
                low, high = min(labels[y, x], labels[v, u]), max(labels[y, x], labels[v, u])
                slot = (low * 40503 + high * 30011) & (size - 1)
                border = slots[slot]
                while border >= 0 and (ends[border, 0] != low or ends[border, 1] != high):
                    slot = (slot + 1) & (size - 1)
                    border = slots[slot]
                if border < 0:
                    slots[slot] = border = count
                    ends[border, 0], ends[border, 1] = low, high
                    count += 1
                lengths[border] += 1
                for m in range(len(contours)):
                    strengths[m, border] += 0.5 * (contours[m, y, x] + contours[m, v, u])
    return ends[:count].copy(), lengths[:count].copy(), strengths[:, :count].copy()
