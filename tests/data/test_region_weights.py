"""Tests for detcon.data.regions: what is compiled equals numpy's own words, bit for bit."""

import numpy as np
from hypothesis import given, settings, strategies as st

from detcon.data.cut import Cut, draw_cut
from detcon.data.recipe import ViewsRecipe
from detcon.masks.masks import Masks


def plain_labels(cut, labels, photo_size, size):
    """The view's map, as a whole."""

    def nearest(start, length, photo, stored):
        return (
            (2 * size * start + (2 * np.arange(size) + 1) * length) * stored // (2 * size * photo)
        )

    rows = nearest(cut.top, cut.height, photo_size[0], labels.shape[0])
    columns = nearest(cut.left, cut.width, photo_size[1], labels.shape[1])
    return labels[rows[:, None], columns[::-1] if cut.flip else columns]


def plain_weights(patterns, membership, grid, rng, pooling, min_cells, num_regions=16):
    """`region_weights` by way of a histogram over (cell, id) pairs."""
    found, values = np.unique(patterns.astype(np.int64), return_inverse=True)
    (h, w), (y, x) = grid, patterns.shape
    cells = np.repeat(np.arange(h), y // h)[:, None] * w + np.repeat(np.arange(w), x // w)
    pairs = (cells * len(found) + values.reshape(y, x)).ravel()
    counts = np.bincount(pairs, minlength=h * w * len(found)).reshape(h, w, len(found))
    cell = patterns.size // (h * w)
    if membership is None:
        ids, area = found[found >= 0], counts[..., found >= 0]
    else:
        ids = np.arange(membership.shape[1])
        area = (counts.astype(np.float32) @ membership[found].astype(np.float32)).astype(int)
    if pooling == "soft":
        kept, share = area.sum((0, 1)) >= min_cells * cell, area / np.float32(cell)
    elif membership is None:
        share = found[counts.argmax(-1)][..., None] == ids
        kept = share.any((0, 1))
    else:
        share = 2 * area >= cell
        kept = share.any((0, 1))
    if not kept.any():
        return np.full(num_regions, -1), np.ones((num_regions, h, w), np.float32)
    sampled = np.flatnonzero(kept)[rng.integers(kept.sum(), size=num_regions)]
    return ids[sampled], np.moveaxis(share[..., sampled], -1, 0).astype(np.float32)


def random_masks(rng, photo_size, overlapping):
    """Noise in blocks, of any ids, at the photo's or another resolution; some pixels have none."""
    size = photo_size if rng.random() < 0.5 else tuple(int(n) for n in rng.integers(1, 60, 2))
    block = int(rng.integers(1, 9))
    if overlapping:
        stack = rng.random((int(rng.integers(0, 20)), *size)) < rng.random()
        stack = stack[:, ::block, ::block].repeat(block, 1).repeat(block, 2)
        return Masks.from_stack(stack[:, : size[0], : size[1]], size=photo_size)
    highest = int(rng.choice([1, 9, 300, 70_000]))
    dtype = rng.choice([np.int16, np.int32, np.int64]) if highest < 2**15 else np.int32
    labels = rng.integers(-1, highest, size).astype(dtype)[::block, ::block]
    labels = labels.repeat(block, 0).repeat(block, 1)[: size[0], : size[1]]
    return Masks(photo_size, np.ascontiguousarray(labels))


@given(
    st.integers(0, 2**31),
    st.booleans(),
    st.sampled_from(["hard", "soft"]),
    st.sampled_from([0.25, 0.5, 1.0, 2.0]),
)
@settings(max_examples=300, deadline=None)
def test_weights_of_a_cut_equal_those_of_its_whole_map(seed, overlapping, pooling, min_cells):
    rng = np.random.default_rng(seed)
    photo_size = tuple(int(n) for n in rng.integers(1, 80, 2))
    masks = random_masks(rng, photo_size, overlapping)
    grid = (int(rng.integers(1, 4)),) * 2
    size = grid[0] * int(rng.integers(1, 12))
    cut = draw_cut(rng, photo_size, ViewsRecipe())
    seen = plain_labels(cut, masks.patterns, photo_size, size)
    assert np.array_equal(cut.labels(masks.patterns, photo_size, size), seen)
    expected = plain_weights(
        seen, masks.membership, grid, np.random.default_rng(seed), pooling, min_cells
    )
    ids, weights = cut.weights(
        masks,
        photo_size,
        size,
        grid,
        rng=np.random.default_rng(seed),
        pooling=pooling,
        min_cells=min_cells,
    )
    assert np.array_equal(ids, expected[0])
    assert np.array_equal(weights, expected[1])


def test_a_read_only_map_is_as_good():
    """A store's maps and photos in memory may be."""
    labels = np.arange(16, dtype=np.int16).reshape(4, 4)
    labels.flags.writeable = False
    rng = np.random.default_rng(0)
    ids, _ = Cut(0, 0, 4, 4, False).weights(Masks((4, 4), labels), (4, 4), 4, (4, 4), rng=rng)
    assert set(ids) <= set(range(16))
