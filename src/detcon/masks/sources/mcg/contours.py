"""The strength of contours at each pixel, at several scales, without a trained network.

Each pixel's brightness and two colour coordinates (CIE Lab) go into soft histograms, whose bins
are planes. A plane is smoothed, so that a pixel holds the histogram of its surroundings, and a
contour is where that changes: the differences of all planes make a structure tensor, the root of
whose larger eigenvalue is the strength. Half, a quarter and an eighth of the resolution give the
coarser scales. Pb compares histograms of half discs for the same reason (Martin, Fowlkes and
Malik, PAMI 2004): texture, alike on both sides, weighs less than in a gradient of colour.

Axes: y x pixels, c channels, s scales, the finest first, t the centre and one half of a kernel.
"""

import math

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from detcon.ops.compiled import compiled

_SCALES = 4
_BINS = 8
_SIGMA, _REACH = 1.0, 2  # in pixels of each scale
_CHROMA = 64.0  # of OpenCV's 128 in a and b; the few colours beyond share a bin
_FINE, _FINE_BLUR = (2.0, 1.0, 1.0, 0.5), 0.8
_COARSE = (0.0, 1.0, 1.0, 1.0)


def to_channels(image: UInt8[np.ndarray, "y x c"]) -> Float32[np.ndarray, "c y x"]:
    """The channels that contours are found in, from 0 to 1: Lab of RGB photos, else the bands."""
    if image.shape[2] != 3:
        values = image.astype(np.float32) / 255
    else:
        values = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB).astype(np.float32)
        values[..., 0] /= 255
        values[..., 1:] = ((values[..., 1:] - 128) / (2 * _CHROMA) + 0.5).clip(0, 1)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def find_contours(channels: Float32[np.ndarray, "c y x"]) -> Float32[np.ndarray, "2 y x"]:
    """A fine and a coarse map of contour strength, of channels from `to_channels`."""
    kernel = _gaussian(_SIGMA, _REACH)
    scales = _strengths(channels * np.float32(_BINS - 1), _BINS, _SCALES, kernel)
    fine, coarse = np.tensordot(np.array([_FINE, _COARSE], np.float32), scales, 1)
    return np.stack([smooth(fine, _FINE_BLUR), coarse])


def smooth(plane: Float32[np.ndarray, "y x"], sigma: float) -> Float32[np.ndarray, "y x"]:
    """The plane under a Gaussian; beyond an edge its pixel is repeated."""
    return _smoothed(np.ascontiguousarray(plane), _gaussian(sigma, math.ceil(3 * sigma)))


def _gaussian(sigma: float, reach: int) -> Float32[np.ndarray, " t"]:
    kernel = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    return (kernel / (2 * kernel.sum() - 1)).astype(np.float32)


@compiled
def _strengths(channels, bins, num_scales, kernel):
    """The strength at each scale [s y x], brought to the size of the photo."""
    num, height, width = channels.shape
    tensors = [
        np.zeros((3, ((height - 1) >> s) + 1, ((width - 1) >> s) + 1), np.float32)
        for s in range(num_scales)
    ]
    plane = np.empty((height, width), np.float32)
    for c in range(num):
        for k in range(bins):
            # A plane of soft membership in bin k; smoothed, it is bin k of each pixel's local
            # histogram. Its differences add to the structure tensor of every scale.
            if _fill_bin(plane, channels[c], np.float32(k)):
                finer = plane
                for s in range(num_scales):
                    soft = _smoothed(finer, kernel)
                    _add_differences(tensors[s], soft)
                    finer = soft[::2, ::2].copy()
    found = np.empty((num_scales, height, width), np.float32)
    for s in range(num_scales):
        _enlarge(found[s], _root_of_larger(tensors[s]), s)
    return found


@compiled
def _fill_bin(plane, channel, k):
    """A bin's plane of soft membership, max(0, 1 - |value - k|); whether any pixel is in it."""
    plane[:] = np.maximum(np.float32(0), np.float32(1) - np.abs(channel - k))
    return plane.any()


@compiled
def _smoothed(plane, kernel):
    """The plane under a separable kernel; beyond an edge its pixel is repeated."""
    height, width = plane.shape
    reach = len(kernel) - 1
    soft = np.empty((height, width), np.float32)
    wide = np.empty(width + 2 * reach, np.float32)
    row = wide[reach : reach + width]
    for y in range(height):
        row[:] = plane[y] * kernel[0]
        for far in range(1, reach + 1):
            _weigh(row, plane[max(y - far, 0)], plane[min(y + far, height - 1)], kernel[far])
        wide[:reach] = row[0]
        wide[reach + width :] = row[width - 1]
        soft[y] = row * kernel[0]
        for far in range(1, reach + 1):
            _weigh(soft[y], wide[reach - far :], wide[reach + far :], kernel[far])
    return soft


@compiled
def _weigh(total, left, right, weight):
    """Adds a pair of neighbours to each sum."""
    for x in range(len(total)):
        total[x] += (left[x] + right[x]) * weight


@compiled
def _add_differences(tensor, plane):
    """Adds a plane's products of differences, xx, yy and xy."""
    height, width = plane.shape
    wide = np.empty(width + 2, np.float32)
    right = wide[2:]
    for y in range(height):
        above, below = plane[max(y - 1, 0)], plane[min(y + 1, height - 1)]
        wide[1 : width + 1] = plane[y]
        wide[0], wide[width + 1] = plane[y, 0], plane[y, width - 1]
        xx, yy, xy = tensor[0, y], tensor[1, y], tensor[2, y]
        for x in range(width):
            dx, dy = right[x] - wide[x], below[x] - above[x]
            xx[x] += dx * dx
            yy[x] += dy * dy
            xy[x] += dx * dy


@compiled
def _root_of_larger(tensor):
    """The root of the larger eigenvalue of the structure tensor [[xx, xy], [xy, yy]]."""
    xx, yy, xy = tensor[0], tensor[1], tensor[2]
    root = np.sqrt((xx - yy) * (xx - yy) + np.float32(4) * xy * xy)
    return np.sqrt(np.float32(0.5) * (xx + yy + root))


@compiled
def _enlarge(large, small, scale):
    """Linear interpolation; pixel i of the small map is pixel i * 2^scale of the large one."""
    height, width = large.shape
    step = np.float32(1.0 / (1 << scale))
    for y in range(height):
        top = y >> scale
        low, v = min(top + 1, len(small) - 1), np.float32(y) * step - np.float32(top)
        for x in range(width):
            left = x >> scale
            right = min(left + 1, small.shape[1] - 1)
            u = np.float32(x) * step - np.float32(left)
            above = small[top, left] + u * (small[top, right] - small[top, left])
            below = small[low, left] + u * (small[low, right] - small[low, left])
            large[y, x] = above + v * (below - above)
