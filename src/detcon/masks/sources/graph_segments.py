"""Segments of a graph of pixels (Felzenszwalb and Huttenlocher, IJCV 2004), compiled.

Pixels are nodes; each is linked to its eight neighbours at the cost of their difference in
colour. There are two passes over the links, the cheapest first. The first merges two segments where
a link costs less than either's dearest link so far plus scale / size; the second merges those
smaller than min_size into the neighbour that is cheapest to reach.

The segments are those of `skimage.segmentation.felzenszwalb`, pixel for pixel: double precision
with the same order of operations, single precision where scikit-image has it. What makes it fast:

- Links are put into some thousands of bins by cost, not sorted. Bin by bin, those within one
  segment are dropped, which is most of them, and the others are sorted. Dropping goes along the
  rows of the photo, so that it reads memory nearly in order.
- The first pass gives the same segments for any order of equal costs: a segment that was
  just merged at a cost takes any other link of that cost too (where rounding to single precision
  could break that, `_grow` notices). The second pass depends on that order, but few ties of a
  photo can tell; `_absorb` notices. Only then all links are sorted, by the same `np.argsort` as
  scikit-image does, whose order of equal costs is numpy's own and may differ between processors.

The smoothing is scipy's bit for bit where scipy was compiled without fused multiply-add, as its
wheels for x86-64 are.

Axes: y x pixels, c channels, d the four directions of links. A link's number is 4 * pixel +
direction.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int32, UInt8

from detcon.ops.compiled import compiled

_SHIFT = 44
_BINS = 1 << 13  # 32 octaves; what is cheaper than 2^-29 shares the first bin
_index = np.uint64  # of arrays: numba needn't ask whether it counts from the end
_PAIRWISE = 8  # numpy adds up as many numbers or more in another order than one by one


def segment_photo(
    image: UInt8[np.ndarray, "y x c"], settings: Sequence[tuple[float, int]], *, sigma: float = 0.8
) -> list[Int32[np.ndarray, "y x"]]:
    """Segments a photo at several pairs (scale, min_size), which share smoothing and costs.

    Pairs of one scale share the first pass too. The map of each pair numbers its segments from 0,
    in order of their first pixels, row by row. Releases the GIL, so threads run in parallel.
    """
    costs = _costs(_smooth(np.ascontiguousarray(image), _gaussian(sigma)))
    links, bounds = _binned(costs)
    grown, segments = {}, []
    for scale, min_size in settings:
        if scale not in grown:
            grown[scale] = _first_pass(costs, links, bounds, scale / 255.0)
        roots, sizes, left = grown[scale]
        segments.append(_second_pass(costs, roots, sizes, left, min_size))
    return segments


def _first_pass(costs, links, bounds, scale):
    """Each pixel's root, the roots' sizes, and the links left between segments, sorted by cost."""
    roots, sizes, left, sure = _grow(costs, links, bounds, scale, True)
    if not sure:
        order = _order(costs)
        roots, sizes, left, _ = _grow(costs, order, np.array([0, len(order)]), scale, False)
    return roots, sizes, left


def _second_pass(costs, roots, sizes, left, min_size):
    """The map of segments, none smaller than `min_size` unless the photo is."""
    segments, sure = _absorb(costs, roots.copy(), sizes.copy(), left, min_size)
    if not sure:
        among = np.zeros(costs.size, bool)
        among[left] = True
        order = _order(costs)
        left = order[among[order]]
        segments, _ = _absorb(costs, roots.copy(), sizes.copy(), left, min_size)
    return segments


def _order(costs: Float64[np.ndarray, "d y x"]) -> Int32[np.ndarray, " e"]:
    """All links by cost, equal costs in scikit-image's order: the same sort of the same array."""
    links = np.arange(costs.size, dtype=np.int32).reshape(*costs.shape[1:], 4).transpose(2, 0, 1)
    costs, links = (np.concatenate([p.ravel() for p in _parts(a)]) for a in (costs, links))
    return links[np.argsort(costs)]


def _parts(planes):
    """The links that exist, in scikit-image's order: right, down, down-right, up-right."""
    right, down, down_right, up_right = planes
    return [right[:, :-1], down[:-1], down_right[:-1, :-1], up_right[:-1, :-1]]


def _gaussian(sigma: float) -> Float64[np.ndarray, " t"]:
    """The centre and one half of the kernel, as scipy makes it; the centre alone: no smoothing."""
    if sigma <= 1e-15:
        return np.ones(1)
    x = np.arange(-int(4 * sigma + 0.5), int(4 * sigma + 0.5) + 1)
    kernel = np.exp(-0.5 / (sigma * sigma) * x**2)
    return (kernel / kernel.sum())[len(x) // 2 :]


@compiled
def _mirror(place, length):
    """The place that a place beyond the edge is mirrored to; the mirror repeats edge pixels."""
    place %= 2 * length
    return min(place, 2 * length - 1 - place)


@compiled
def _smooth(image, kernel):
    """The photo as planes [c y x] of numbers up to 1, smoothed along y and then x.

    Each sum has scipy's order, the outermost neighbours first; beyond an edge the photo is
    mirrored.
    """
    height, width, channels = image.shape
    reach = len(kernel) - 1
    scaled = image.reshape(height, width * channels) * (1.0 / 255)
    smooth = np.empty((channels, height, width))
    row = np.empty(width * channels)
    wide = np.empty(width + 2 * reach)  # one channel of the row, and what is mirrored
    for y in range(height):
        row[:] = scaled[y] * kernel[0]
        for far in range(reach, 0, -1):
            above, below = _mirror(y - far, height), _mirror(y + far, height)
            _weigh(row, scaled[above], scaled[below], kernel[far])
        for c in range(channels):
            for x in range(width):
                wide[reach + x] = row[x * channels + c]
            for x in range(reach):
                wide[x] = row[_mirror(x - reach, width) * channels + c]
                wide[reach + width + x] = row[_mirror(width + x, width) * channels + c]
            smooth[c, y] = wide[reach : reach + width] * kernel[0]
            for far in range(reach, 0, -1):
                _weigh(smooth[c, y], wide[reach - far :], wide[reach + far :], kernel[far])
    return smooth


@compiled
def _weigh(total, left, right, weight):
    """Adds a pair of neighbours to each sum."""
    for x in range(len(total)):
        total[x] += (left[x] + right[x]) * weight


def _costs(smooth: Float64[np.ndarray, "c y x"]) -> Float64[np.ndarray, "d y x"]:
    """The cost of each link; undefined for links that would leave the photo."""
    if len(smooth) < _PAIRWISE:
        return _distances(smooth)
    costs = np.empty((4, *smooth.shape[1:]))
    pixels = np.ascontiguousarray(smooth.transpose(1, 2, 0))
    ends = [
        (pixels[:, 1:], pixels[:, :-1]),
        (pixels[1:], pixels[:-1]),
        (pixels[1:, 1:], pixels[:-1, :-1]),
        (pixels[1:, :-1], pixels[:-1, 1:]),
    ]
    for part, (a, b) in zip(_parts(costs), ends, strict=True):
        part[:] = np.sqrt(np.sum((a - b) * (a - b), axis=-1))
    return costs


@compiled
def _distances(smooth):
    """`_costs` for few channels, whose squares are added one after the other."""
    channels, height, width = smooth.shape
    costs = np.zeros((4, height, width))
    for y in range(height):
        for c in range(channels):
            here = smooth[c, y]
            _add_squares(costs[0, y], here[1:], here[:-1])
            if y < height - 1:
                below = smooth[c, y + 1]
                _add_squares(costs[1, y], below, here)
                _add_squares(costs[2, y], below[1:], here[:-1])
                _add_squares(costs[3, y], below[:-1], here[1:])
        for d in range(4):
            costs[d, y] = np.sqrt(costs[d, y])
    return costs


@compiled
def _add_squares(total, a, b):
    for x in range(len(a)):
        total[x] += (a[x] - b[x]) * (a[x] - b[x])


@compiled
def _binned(costs):
    """The links in bins of rising cost, within a bin row by row, and where each bin begins."""
    _, height, width = costs.shape
    keys = costs.view(np.uint64)
    bounds = np.zeros(_BINS + 1, np.int64)
    for y in range(height):
        for d in range(4):
            if d == 0 or y < height - 1:
                for x in range(width if d == 1 else width - 1):
                    bounds[_bin(keys[d, y, x]) + 1] += 1
    for k in range(_BINS):
        bounds[k + 1] += bounds[k]
    links, free = np.empty(bounds[_BINS], np.int32), bounds[:-1].copy()
    for y in range(height):
        for x in range(width):
            for d in range(4):
                if (x < width - 1 or d == 1) and (y < height - 1 or d == 0):
                    k = _bin(keys[d, y, x])
                    links[free[k]] = 4 * (y * width + x) + d
                    free[k] += 1
    return links, bounds


@compiled
def _bin(key):
    """A cost's bin, from its leading bits: those of positive floats are in the same order."""
    lowest = np.int64((1023 - 29) << (52 - _SHIFT))
    return min(max(np.int64(key >> np.uint64(_SHIFT)) - lowest, 0), _BINS - 1)


@compiled
def _root(parents, pixel):
    """The root of a segment, its first pixel; shortens the path to it (union-find)."""
    pixel = _index(pixel)
    parent = _index(parents[pixel])
    while parent != pixel:
        above = parents[parent]
        parents[pixel] = above
        pixel = _index(above)
        parent = _index(parents[pixel])
    return pixel


@compiled
def _ends(link, width):
    """The two pixels of a link."""
    pixel, d = _index(link >> 2), link & 3
    up_right, right, down = _index(d == 3), _index((d == 0) | (d == 2)), _index(d != 0)
    return pixel + up_right, pixel + down * _index(width) + right  # no branches: none to mispredict


@compiled
def _place(link, num_pixels):
    """A link's place in the costs, which lie direction by direction."""
    return _index(link & 3) * _index(num_pixels) + _index(link >> 2)


@compiled
def _grow(costs, links, bounds, scale, sort):
    """The first pass: pixels' roots, the roots' sizes, the links left, and if all are certain.

    Links come in bins of rising cost; `bounds` are where bins begin and the last one ends. `scale`
    is for colours up to 1. `sort`: whether the links of a bin have to be sorted.
    """
    _, height, width = costs.shape
    flat, num_pixels = costs.ravel(), height * width
    parents = np.arange(num_pixels).astype(np.int32)
    sizes = np.ones(num_pixels, np.int32)
    limits = np.full(num_pixels, np.float32(scale))  # a dearer link doesn't merge it
    left, num_left, sure = np.empty(len(links), np.int32), 0, True
    room = np.empty((2, np.diff(bounds).max()), np.int32)
    keys, counts = np.empty(room.shape), np.empty(64, np.int32)
    for k in range(len(bounds) - 1):
        # Of this bin, the links between segments that are still different
        num = 0
        for i in range(bounds[k], bounds[k + 1]):
            link = links[i]
            a, b = _ends(link, width)
            if parents[a] != parents[b] and _root(parents, a) != _root(parents, b):
                room[0, num], keys[0, num] = link, flat[_place(link, num_pixels)]
                num += 1
        # From the cheapest on: merge where the link costs less than both segments' limits, which
        # are each segment's dearest link plus scale / size; the others are left for later
        half = _sort(room, keys, num, counts) if sort else 0
        for i in range(num):
            link, cost = room[half, i], keys[half, i]
            a, b = _ends(link, width)
            a, b = _root(parents, a), _root(parents, b)
            if a == b:
                continue
            if cost < min(limits[a], limits[b]):
                a, b = min(a, b), max(a, b)
                parents[b] = a
                sizes[a] += sizes[b]
                limits[a] = np.float32(cost + scale / sizes[a])
                sure &= limits[a] > cost
            else:
                left[num_left] = link
                num_left += 1
    return parents, sizes, left[:num_left].copy(), sure


@compiled
def _sort(links, keys, num, counts):
    """Sorts the first `num` links of a bin by key; returns the half of the room they are in."""
    if num < 8:
        _insert(links[0], keys[0], num)
        return 0
    if num > 512:  # no photo's, but a drawing's
        order = np.argsort(keys[0, :num], kind="mergesort")
        for i in range(num):
            links[1, i], keys[1, i] = links[0, order[i]], keys[0, order[i]]
        return 1
    # A counting sort by the next 6 bits of the costs, then insertion of what is nearly sorted
    bits = keys.view(np.uint64)[0]
    shift, last = np.uint64(_SHIFT - 6), np.uint64(63)  # the next 6 bits of the fraction
    counts[:] = 0
    for i in range(num):
        counts[(bits[i] >> shift) & last] += 1
    free = 0
    for k in range(64):
        free, counts[k] = free + counts[k], free
    for i in range(num):
        k = (bits[i] >> shift) & last
        links[1, counts[k]], keys[1, counts[k]] = links[0, i], keys[0, i]
        counts[k] += 1
    _insert(links[1], keys[1], num)  # nearly sorted, or in the first bin, which is wider, not
    return 1


@compiled
def _insert(links, keys, num):
    """Sorts the first `num` links by insertion."""
    for i in range(1, num):
        link, key, j = links[i], keys[i], i
        while j > 0 and keys[j - 1] > key:
            links[j], keys[j] = links[j - 1], keys[j - 1]
            j -= 1
        links[j], keys[j] = link, key


@compiled
def _absorb(costs, parents, sizes, left, min_size):
    """The second pass: the map, and whether it is the same for any order of equal costs.

    The order doesn't matter among equal links that share no segment, nor where none of them has a
    small segment at an end. Changes `parents` and the roots' `sizes`; `left` is sorted by cost.
    """
    _, height, width = costs.shape
    flat, sure, place = costs.ravel(), True, 0
    seen, other = np.full(len(parents), -1, np.int32), np.empty(len(parents), np.int32)
    while place < len(left):
        # All links of equal cost: does their order matter?
        start, cost = place, flat[_place(left[place], len(parents))]
        small = shared = False
        while place < len(left) and flat[_place(left[place], len(parents))] == cost:
            a, b = _ends(left[place], width)
            a, b = _root(parents, a), _root(parents, b)
            if a != b:
                small |= min(sizes[a], sizes[b]) < min_size
                shared |= seen[a] == start and other[a] != b
                shared |= seen[b] == start and other[b] != a
                seen[a], seen[b], other[a], other[b] = start, start, b, a
            place += 1
        sure &= not (small and shared)
        # Merge those with a small segment at an end
        for i in range(start, place):
            a, b = _ends(left[i], width)
            a, b = _root(parents, a), _root(parents, b)
            if a != b and min(sizes[a], sizes[b]) < min_size:
                a, b = min(a, b), max(a, b)
                parents[b] = a
                sizes[a] += sizes[b]
    return _numbered(parents, height, width), sure


@compiled
def _numbered(parents, height, width):
    """The map of segments in order of their first pixels, which are their roots."""
    numbers, num = np.empty(len(parents), np.int32), np.int32(0)
    for pixel in range(len(parents)):
        root = _root(parents, pixel)
        if root == pixel:
            numbers[pixel] = num
            num += 1
        else:
            numbers[pixel] = numbers[root]
    return numbers.reshape(height, width)
