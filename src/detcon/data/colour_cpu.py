"""Changes of colour on a CPU: compiled loops that work through a photo in blocks, in the cache.

The same operations as in `detcon.data.colour`, which go through the memory once for each step of
each operation (decision 6). Here a block of pixels takes all operations up to the contrast, which
needs the mean of the whole photo, and then all that follow it; the blur goes down and across a row
at once.

Numbers are written as float32: numba would otherwise compute in float64, at half the speed.

Axes: b images, c channels, y x pixels of a view, n = y * x of them in one row.
"""

import math

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from detcon.ops.compiled import compiled

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)
_0, _1, _2, _3, _4, _6 = (np.float32(n) for n in (0, 1, 2, 3, 4, 6))
_SIXTH, _THIRD = np.float32(1 / 6), np.float32(1 / 3)
_BYTE, _TINY = np.float32(1 / 255), np.float32(1e-12)
_RED, _GREEN, _BLUE = np.float32(0.2989), np.float32(0.5870), np.float32(0.1140)
_BLOCK = 2048  # pixels that take all steps at once: their channels stay in the first cache
_NEGLIGIBLE = 1e-7  # weights of the blur that change less than a thousandth of a grey level


@compiled
def change_colours(
    images: UInt8[np.ndarray, "b c y x"],
    amounts: Float32[np.ndarray, "b 4"],
    order: Int64[np.ndarray, "b 4"],
    grey: Bool[np.ndarray, " b"],
    sigma: Float32[np.ndarray, " b"],
    solarize: Bool[np.ndarray, " b"],
    mean: Float32[np.ndarray, " c"],
    std: Float32[np.ndarray, " c"],
    out: Float32[np.ndarray, "b c y x"],
) -> None:
    """Changes the colours of a batch of views, normalises them, and writes them to `out`.

    The parameters are those of `detcon.data.colour`: `amounts` and `order` of the four changes,
    whether to turn `grey`, the blur's `sigma` (0: none), and whether to `solarize`.
    """
    channels, height, width = images.shape[1:]
    work = np.empty((channels, height * width), np.float32)
    for i in range(len(images)):
        pixels, result = images[i].reshape(work.shape), out[i].reshape(work.shape)
        _jitter(pixels, amounts[i], order[i], work)
        if grey[i] and channels == 3:
            _to_grey(work[0], work[1], work[2])
        if sigma[i] > _0:
            for channel in range(channels):
                _blur(work[channel].reshape(height, width), sigma[i], out[i, channel])
        source = result if sigma[i] > _0 else work
        for channel in range(channels):
            _finish(source[channel], solarize[i], mean[channel], std[channel], result[channel])


@compiled
def _jitter(pixels, amounts, order, work):
    """The four changes, in their order, from bytes `[c n]`; the contrast makes it two passes."""
    before = 0
    while before < 4 and order[before] != _CONTRAST:
        before += 1
    channels = len(work)
    sums = np.zeros((channels, _BLOCK), np.float32)
    for start in range(0, work.shape[1], _BLOCK):
        block = slice(start, start + _BLOCK)
        for channel in range(channels):
            _read(pixels[channel, block], work[channel, block])
        _apply(work[:, block], amounts, order[:before])
        if before < 4:
            for channel in range(channels):
                _add(sums[channel], work[channel, block])
    if before == 4:
        return
    factor, added = amounts[_CONTRAST], np.empty(channels, np.float32)
    for channel in range(channels):
        mean = np.float32(sums[channel].astype(np.float64).sum() / work.shape[1])
        added[channel] = mean * (_1 - factor)
    for start in range(0, work.shape[1], _BLOCK):
        block = slice(start, start + _BLOCK)
        for channel in range(channels):
            _stretch(work[channel, block], factor, added[channel])
        _apply(work[:, block], amounts, order[before + 1 :])


@compiled
def _apply(block, amounts, order):
    """Applies the changes that need only the pixel itself to some pixels `[c n]`."""
    for which in order:
        if which == _BRIGHTNESS:
            for channel in range(len(block)):
                _stretch(block[channel], _1, amounts[_BRIGHTNESS])
        elif which == _SATURATION and len(block) == 3:
            _saturate(block[0], block[1], block[2], amounts[_SATURATION])
        elif which == _HUE and len(block) == 3:
            _turn_hue(block[0], block[1], block[2], amounts[_HUE])


@compiled
def _read(row, to):
    for x in range(len(row)):
        to[x] = np.float32(row[x]) * _BYTE


@compiled
def _add(sums, row):
    for x in range(len(row)):
        sums[x] += row[x]


@compiled
def _clip(x):
    return min(max(x, _0), _1)


@compiled
def _stretch(row, factor, added):
    for x in range(len(row)):
        row[x] = _clip(row[x] * factor + added)


@compiled
def _saturate(reds, greens, blues, factor):
    for x in range(len(reds)):
        red, green, blue = reds[x], greens[x], blues[x]
        value = max(max(red, green), blue)
        chroma = max(value - min(min(red, green), blue), _TINY)
        scale = min(value / chroma, factor)
        reds[x] = value - (value - red) * scale
        greens[x] = value - (value - green) * scale
        blues[x] = value - (value - blue) * scale


@compiled
def _turn_hue(reds, greens, blues, turns):
    """Turns the hue, in turns from red; computes both sides of each choice, without branches."""
    turns -= np.float32(math.floor(turns))
    for x in range(len(reds)):
        red, green, blue = reds[x], greens[x], blues[x]
        value = max(max(red, green), blue)
        low = min(min(red, green), blue)
        chroma = value - low
        scale = _SIXTH / max(chroma, _TINY)
        from_red = (green - blue) * scale + turns
        from_green = (blue - red) * scale + turns + _THIRD
        from_blue = (red - green) * scale + turns + _THIRD + _THIRD
        hue = from_green if green == value else from_blue
        hue = from_red if red == value else hue
        below, above = hue + _1, hue - _1
        hue = below if hue < _0 else hue
        hue = _6 * (above if hue >= _1 else hue)
        reds[x] = _clip(abs(hue - _3) - _1) * chroma + low
        greens[x] = _clip(_2 - abs(hue - _2)) * chroma + low
        blues[x] = _clip(_2 - abs(hue - _4)) * chroma + low


@compiled
def _to_grey(reds, greens, blues):
    for x in range(len(reds)):
        grey = reds[x] * _RED + greens[x] * _GREEN + blues[x] * _BLUE
        reds[x] = grey
        greens[x] = grey
        blues[x] = grey


@compiled
def _blur(plane, sigma, out):
    """A Gaussian of radius int(side / 20), zeros outside: down into a row, then across it.

    Places are unsigned, and rows never sliced: the check for places counted from the end, and
    the counting of references to slices, would double the time.
    """
    height, width = plane.shape
    taps = _gaussian(int(height / 10 / 2), sigma)
    reach = len(taps) - 1
    padded = np.zeros((1, width + 2 * reach), np.float32)
    nil, middle = np.uint64(0), np.uint64(reach)
    for i in range(height):
        y = np.uint64(i)
        _weigh(padded, nil, middle, plane, y, nil, width, taps[0])
        for t in range(1, reach + 1):
            above, below = np.uint64(max(i - t, 0)), np.uint64(min(i + t, height - 1))
            if i - t >= 0 and i + t < height:
                _add_pair(padded, nil, middle, plane, above, below, nil, nil, width, taps[t])
            elif i - t >= 0:
                _add_one(padded, nil, middle, plane, above, nil, width, taps[t])
            elif i + t < height:
                _add_one(padded, nil, middle, plane, below, nil, width, taps[t])
        _weigh(out, y, nil, padded, nil, middle, width, taps[0])
        for t in range(1, reach + 1):
            left, right = np.uint64(reach - t), np.uint64(reach + t)
            _add_pair(out, y, nil, padded, nil, nil, left, right, width, taps[t])


@compiled
def _gaussian(radius, sigma):
    """The weights from the centre outwards, as far as they matter."""
    weights = np.empty(radius + 1)
    for t in range(radius + 1):
        weights[t] = math.exp(-0.5 * (t / sigma) ** 2)
    weights /= weights[0] + 2 * weights[1:].sum()
    reach = radius
    while reach > 0 and weights[reach] < _NEGLIGIBLE:
        reach -= 1
    return weights[: reach + 1].astype(np.float32)


@compiled
def _weigh(to, row, start, source, y, left, width, weight):
    for x in range(np.uint64(width)):
        to[row, start + x] = source[y, left + x] * weight


@compiled
def _add_one(to, row, start, source, y, left, width, weight):
    for x in range(np.uint64(width)):
        to[row, start + x] += source[y, left + x] * weight


@compiled
def _add_pair(to, row, start, source, above, below, left, right, width, weight):
    for x in range(np.uint64(width)):
        to[row, start + x] += (source[above, left + x] + source[below, right + x]) * weight


@compiled
def _finish(row, solarize, mean, std, out):
    """Solarize, clip to 0..1, normalise."""
    scale = _1 / std
    for x in range(len(row)):
        value = row[x]
        value = min(value, _1 - value) if solarize else value
        out[x] = (_clip(value) - mean) * scale
