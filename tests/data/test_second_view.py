"""Tests for `views.second` and `views.absent`: one view twice, masks that a view lacks."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from detcon.data.cut import Cut
from detcon.data.dataset import PhotoViews
from detcon.data.loader import batches
from detcon.data.recipe import ViewsRecipe
from detcon.data.regions import region_weights, split_in_halves
from detcon.masks.masks import Masks


def views(photos, store, **recipe):
    recipe = ViewsRecipe.model_validate({"size": 32, **recipe})
    return PhotoViews(photos, store, recipe, grid=(4, 4), seed=3)


@pytest.mark.parametrize("second", ["repeat", "halves"])
def test_view_1_is_as_ever_and_view_2_has_its_pixels(photos, store, second):
    for index in range(4):
        usual, sample = (
            views(photos, store)[1, index],
            views(photos, store, second=second)[1, index],
        )
        for name in ("images", "colour"):
            one, two = getattr(sample, name)
            assert np.array_equal(one, getattr(usual, name)[0]) and np.array_equal(one, two)
        assert np.array_equal(*sample.ids)
        if second == "repeat":
            assert np.array_equal(sample.ids[0], usual.ids[0])
            assert np.array_equal(sample.weights[0], usual.weights[0])
            assert np.array_equal(*sample.weights)


@given(st.integers(0, 2**31), st.booleans(), st.sampled_from(["hard", "soft"]))
@settings(max_examples=100, deadline=None)
def test_halves_are_disjoint_and_together_the_region(seed, overlapping, pooling):
    """Cell by cell, in plain loops."""
    rng = np.random.default_rng(seed)
    patterns = rng.integers(-1, 12, (4, 4)).repeat(3, 0).repeat(3, 1)
    patterns[rng.random(patterns.shape) < 0.2] = 0
    membership = rng.random((12, 7)) < 0.4 if overlapping else None
    patterns = np.maximum(patterns, 0) if overlapping else patterns
    options = {"pooling": pooling, "min_cells": 0.5}
    everything, shares = region_weights(
        patterns, membership, (4, 4), rng=rng, num_regions=500, **options
    )
    large = {int(i) for i, share in zip(everything, shares) if i >= 0 and (share > 0).sum() > 1}
    ids, weights = region_weights(
        patterns, membership, (4, 4), rng=rng, num_regions=500, least_cells=2, **options
    )
    assert {int(i) for i in ids} == (large or {-1})
    one, two = split_in_halves(ids, weights, rng)
    first = {}
    for r, mask in enumerate(ids.tolist()):
        if mask < 0:
            assert np.array_equal(one[r], weights[r]) and np.array_equal(two[r], weights[r])
            continue
        for y, x in np.ndindex(4, 4):
            assert sorted([one[r, y, x], two[r, y, x]]) == [0, weights[r, y, x]]
        sizes = sorted([(one[r] > 0).sum(), (two[r] > 0).sum()])
        assert sizes[0] >= 1 and sizes[1] - sizes[0] == (weights[r] > 0).sum() % 2
        assert np.array_equal(one[r], one[first.setdefault(mask, r)]), "copies stay copies"


def test_every_cell_and_the_larger_half_go_either_way():
    ids, weights = np.zeros(1, np.int64), np.ones((1, 1, 3), np.float32)
    rng = np.random.default_rng(0)
    halves = np.array([split_in_halves(ids, weights, rng)[0, 0, 0] for _ in range(3000)])
    np.testing.assert_allclose(halves.mean(0), 0.5, atol=0.04)
    assert (halves.sum(1) == 2).mean() == pytest.approx(0.5, abs=0.04)


def test_halves_do_not_depend_on_workers(photos, store):
    def drawn(workers):
        return list(
            batches(
                views(photos, store, second="halves"),
                batch_size=2, seed=0, first_step=0, num_steps=3, workers=workers,
                rank=0, world=1,
            )
        )  # fmt: skip

    for one, two in zip(drawn(0), drawn(2), strict=True):
        assert one.weights.equal(two.weights) and one.ids.equal(two.ids)


@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("pooling", ["hard", "soft"])
def test_absent_masks_are_drawn_with_weights_0(overlapping, pooling):
    labels = np.arange(16).reshape(4, 4).repeat(8, 0).repeat(8, 1)
    masks = Masks.from_labels(labels)
    if overlapping:
        masks = Masks.from_stack(np.append(masks.stack(), masks.stack()[:1], 0))
    cut = Cut(0, 0, 16, 16, False)
    options = {"num_regions": 500, "pooling": pooling}
    rng = np.random.default_rng(0)
    ids, weights = cut.weights(masks, (32, 32), 16, (2, 2), rng=rng, absent=True, **options)
    assert set(ids) == set(masks.ids)
    seen, there = cut.weights(masks, (32, 32), 16, (2, 2), rng=rng, **options)
    shown = dict(zip(seen.tolist(), there))
    for mask, weight in zip(ids.tolist(), weights):
        assert np.array_equal(weight, shown.get(mask, np.zeros((2, 2))))


def test_says_what_does_not_go_together(photos, store):
    with pytest.raises(ValueError, match="absent=true draws those of none; give one of the two"):
        ViewsRecipe.model_validate({"second": "halves", "absent": True})
    with pytest.raises(ValueError, match="second"):
        ViewsRecipe.model_validate({"second": "third"})
    with pytest.raises(ValueError, match="views.second=halves splits masks .* no masks"):
        views(photos, None, second="halves")
