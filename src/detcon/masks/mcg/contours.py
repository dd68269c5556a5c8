"""How strongly a photo changes at each pixel, at several scales, without a trained network.

Each pixel's brightness and two colour coordinates (CIE Lab) go into soft histograms, whose bins
are planes. A plane is smoothed, so that a pixel holds the histogram of its surroundings, and a
contour is where that changes: the gradients of all planes make a structure tensor, the root of
whose larger eigenvalue is the strength. Half, a quarter and an eighth of the resolution give the
coarser scales. A gradient of histograms is what Pb's compares half discs for (Martin, Fowlkes and
Malik, PAMI 2004): fine texture, alike on both sides, weighs little, unlike in a gradient of
colour.

Axes: y x pixels, c channels, l scales, the finest first.
"""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from detcon.ops.compiled import compiled

NUM_SCALES = 4
_BINS = 10
_SIGMA, _REACH = 1.5, 3
_CHROMA = 64.0  # how far colour goes in OpenCV's Lab; what is beyond is rare, and shares a bin


def find_contours(image: UInt8[np.ndarray, "y x c"]) -> Float32[np.ndarray, "l y x"]:
    """The strength of contours at each scale, brought to the size of the photo.

    Args:
        image: RGB, or any number of bands, each of which counts like brightness.
    """
    return _strengths(_channels(image), _BINS, NUM_SCALES, _gaussian(_SIGMA, _REACH))


def smooth(
    strength: Float32[np.ndarray, "y x"], sigma: float
) -> Float32[np.ndarray, "y x"]:
    """A map under a small Gaussian, edge pixels repeated."""
    kernel = _gaussian(sigma, int(4 * sigma + 0.5))
    return _smoothed(np.ascontiguousarray(strength), kernel)


def _channels(image: UInt8[np.ndarray, "y x c"]) -> Float32[np.ndarray, "c y x"]:
    """What goes into histograms, in bins from 0 to `_BINS - 1`."""
    if image.shape[2] != 3:
        values = image.astype(np.float32) / 255
    else:
        lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB).astype(np.float32)
        values = lab / 255
        values[..., 1:] = (0.5 + (lab[..., 1:] - 128) / (2 * _CHROMA)).clip(0, 1)
    return np.ascontiguousarray(values.transpose(2, 0, 1) * np.float32(_BINS - 1))


def _gaussian(sigma: float, reach: int) -> Float32[np.ndarray, " t"]:
    """The centre and one half of the kernel."""
    kernel = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    return (kernel / (2 * kernel.sum() - 1)).astype(np.float32)


@compiled
def _strengths(channels, bins, num_scales, kernel):
    num, height, width = channels.shape
    tensors = [
        np.zeros((3, max(1, (height - 1 >> s) + 1), max(1, (width - 1 >> s) + 1)), np.float32)
        for s in range(num_scales)
    ]
    plane = np.empty((height, width), np.float32)
    for c in range(num):
        for k in range(bins):
            if _fill_bin(plane, channels[c], np.float32(k)):
                finer = plane
                for s in range(num_scales):
                    soft = _smoothed(finer, kernel)
                    _add_gradients(tensors[s], soft)
                    finer = _halved(soft)
    found = np.empty((num_scales, height, width), np.float32)
    for s in range(num_scales):
        _enlarge(found[s], _larger_eigenvalue(tensors[s]), s)
    return found


@compiled
def _fill_bin(plane, channel, k):
    """A bin's plane: how near, from 0 to 1, a pixel's value is; whether it is near anywhere."""
    flat, values = plane.ravel(), channel.ravel()
    most = np.float32(0)
    for i in range(len(flat)):
        flat[i] = max(np.float32(0), np.float32(1) - abs(values[i] - k))
    for i in range(len(flat)):
        most = max(most, flat[i])
    return most > 0


@compiled
def _smoothed(plane, kernel):
    """Separable; beyond an edge its pixel is repeated."""
    height, width = plane.shape
    reach = len(kernel) - 1
    soft = np.empty((height, width), np.float32)
    wide = np.empty(width + 2 * reach, np.float32)
    row = wide[reach : reach + width]
    for y in range(height):
        _weigh(row, plane[y], plane[y], kernel[0], True)
        for far in range(1, reach + 1):
            _weigh(
                row, plane[max(y - far, 0)], plane[min(y + far, height - 1)], kernel[far], False
            )
        wide[:reach] = row[0]
        wide[reach + width :] = row[width - 1]
        _weigh(soft[y], row, row, kernel[0], True)
        for far in range(1, reach + 1):
            _weigh(soft[y], wide[reach - far :], wide[reach + far :], kernel[far], False)
    return soft


@compiled
def _weigh(total, left, right, weight, first):
    """Adds a pair of neighbours to each sum; or begins the sums with the centre."""
    if first:
        for x in range(len(total)):
            total[x] = left[x] * weight
    else:
        for x in range(len(total)):
            total[x] += (left[x] + right[x]) * weight


@compiled
def _add_gradients(tensor, plane):
    """Adds a plane's products of differences, xx, yy and xy; beyond an edge there is none."""
    height, width = plane.shape
    wide = np.empty(width + 2, np.float32)
    for y in range(height):
        above, below = plane[max(y - 1, 0)], plane[min(y + 1, height - 1)]
        wide[1 : width + 1] = plane[y]
        wide[0], wide[width + 1] = plane[y, 0], plane[y, width - 1]
        right = wide[2:]
        xx, yy, xy = tensor[0, y], tensor[1, y], tensor[2, y]
        for x in range(width):
            dx, dy = right[x] - wide[x], below[x] - above[x]
            xx[x] += dx * dx
            yy[x] += dy * dy
            xy[x] += dx * dy


@compiled
def _halved(plane):
    height, width = plane.shape
    half = np.empty((height + 1 >> 1, width + 1 >> 1), np.float32)
    for y in range(len(half)):
        for x in range(half.shape[1]):
            half[y, x] = plane[2 * y, 2 * x]
    return half


@compiled
def _larger_eigenvalue(tensor):
    """The root of it, at each pixel."""
    _, height, width = tensor.shape
    found = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            xx, yy, xy = tensor[0, y, x], tensor[1, y, x], tensor[2, y, x]
            root = np.sqrt((xx - yy) * (xx - yy) + np.float32(4) * xy * xy)
            found[y, x] = np.sqrt(np.float32(0.5) * (xx + yy + root))
    return found


@compiled
def _enlarge(large, small, scale):
    """Linear interpolation; pixel i of the small map is pixel i * 2^scale of the large one."""
    height, width = large.shape
    step = np.float32(1.0 / (1 << scale))
    for y in range(height):
        top = y >> scale
        low = min(top + 1, len(small) - 1)
        v = np.float32(y) * step - np.float32(top)
        for x in range(width):
            left = x >> scale
            right = min(left + 1, small.shape[1] - 1)
            u = np.float32(x) * step - np.float32(left)
            above = small[top, left] + u * (small[top, right] - small[top, left])
            below = small[low, left] + u * (small[low, right] - small[low, left])
            large[y, x] = above + v * (below - above)
