"""Tests for the regions of a teacher: the same masks, on another grid, by shares of area."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from test_region_weights import plain_labels, random_masks

from detcon.data.cut import draw_cut
from detcon.data.dataset import PhotoViews
from detcon.data.loader import collate
from detcon.data.recipe import ViewsRecipe

GRIDS = [(3, 3), (7, 4), (5, 5), (16, 16), (1, 1)]


def overlap(pixel, cell, pixels, cells):
    """How much of a pixel lies in a cell of an even division, in pixels."""
    first, last = cell * pixels / cells, (cell + 1) * pixels / cells
    return max(0.0, min(pixel + 1, last) - max(pixel, first))


def plain_shares(view, membership, grid, ids):
    """Pixel by pixel and cell by cell."""
    (y, x), (h, w) = view.shape, grid
    rows = np.array([[overlap(i, cell, y, h) for i in range(y)] for cell in range(h)])
    columns = np.array([[overlap(i, cell, x, w) for i in range(x)] for cell in range(w)])
    shares = np.ones((len(ids), h, w))
    for region, mask in enumerate(ids):
        if mask >= 0:
            inside = view == mask if membership is None else membership[view][..., mask]
            shares[region] = rows @ inside @ columns.T / (y * x / (h * w))
    return shares


@given(
    st.integers(0, 2**31), st.booleans(), st.sampled_from(GRIDS), st.sampled_from(["hard", "soft"])
)
@settings(max_examples=60, deadline=None)
def test_shares_equal_plain_loops_and_no_region_is_lost(seed, overlapping, grid, pooling):
    rng = np.random.default_rng(seed)
    photo_size = tuple(int(n) for n in rng.integers(1, 60, 2))
    masks = random_masks(rng, photo_size, overlapping)
    cut, size = draw_cut(rng, photo_size, ViewsRecipe()), 5 * int(rng.integers(1, 6))
    ids, weights = cut.weights(masks, photo_size, size, (5, 5), rng=rng, pooling=pooling)
    view = plain_labels(cut, masks.patterns, photo_size, size)
    shares = cut.shares(masks, photo_size, size, grid, ids)
    np.testing.assert_allclose(
        shares, plain_shares(view, masks.membership, grid, ids), atol=1e-5, rtol=0
    )
    assert (shares.sum((1, 2)) > 0).all(), "what the student pools has a weight for the teacher"
    if pooling == "soft" and grid == (5, 5):
        np.testing.assert_allclose(shares, weights, atol=1e-6, rtol=0)


def test_a_sample_has_the_same_regions_on_both_grids_and_draws_nothing_more(photos, store):
    views = ViewsRecipe(size=20)
    options = {"grid": (5, 5), "seed": 3, "num_regions": 4}
    plain = PhotoViews(photos, store, views, **options)[1, 2]
    dataset = PhotoViews(photos, store, views, **options, teacher_grid=(7, 4))
    sample = dataset[1, 2]
    for name in ("images", "ids", "weights", "colour"):
        assert np.array_equal(getattr(plain, name), getattr(sample, name)), name
    for view in range(2):
        cut = draw_cut(dataset.draws(1, 2, view), (40, 50), views)
        labels = cut.labels(store[photos.keys[2]].patterns, (40, 50), 20)
        expected = plain_shares(labels, None, (7, 4), sample.ids[view])
        np.testing.assert_allclose(sample.teacher_weights[view], expected, atol=1e-5)
    batch = collate([sample, dataset[1, 0]])
    assert batch.teacher_weights.shape == (2, 2, 4, 7, 4)
    assert [part.teacher_weights.shape[1] for part in batch.split(2)] == [1, 1]
    assert plain.teacher_weights is None and collate([plain]).teacher_weights is None


@pytest.mark.parametrize("given", [{"second": "repeat"}, {"second": "halves"}, {"absent": True}])
def test_a_teacher_takes_whole_regions_that_the_view_shows(given, photos, store):
    with pytest.raises(ValueError, match=r"a teacher needs views\.second=own and views\.absent=f"):
        PhotoViews(
            photos, store, ViewsRecipe(size=20, **given), grid=(5, 5), seed=0, teacher_grid=(3, 3)
        )
