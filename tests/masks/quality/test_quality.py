"""Tests for detcon.masks.quality.overlap: against plain loops over stacks of full-size masks."""

from dataclasses import asdict, fields

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from detcon.data.regions import region_weights
from detcon.masks import Masks
from detcon.masks.quality.overlap import (
    Bounds,
    Tally,
    Truth,
    boundaries,
    measure,
    num_lost,
    overlaps,
    quality,
)
from detcon.masks.sources import Grid

ALL = Bounds(0.0, 1.0)


def slow_iou(one, other, void):
    both = either = 0
    for y, x in np.ndindex(one.shape):
        if void is None or not void[y, x]:
            both += one[y, x] and other[y, x]
            either += one[y, x] or other[y, x]
    return both / either if either else 0.0


shape = (5, 6)
disjoint = arrays(np.int64, shape, elements=st.sampled_from([-1, 0, 3, 70000])).map(
    Masks.from_labels
)
overlapping = (
    st.integers(0, 4)
    .flatmap(lambda k: arrays(bool, (k, *shape)))
    .map(lambda stack: Masks.from_stack(stack))
)
either_kind = disjoint | overlapping
voids = st.none() | arrays(bool, shape)


@given(either_kind, either_kind, voids)
@settings(max_examples=60, deadline=None)
def test_overlaps_are_those_of_plain_loops(marked, masks, void):
    found, _ = overlaps(marked, masks, np.ones(shape, bool) if void is None else ~void)
    assert found.shape == (marked.num_masks, masks.num_masks)
    for t, one in enumerate(marked.stack()):
        for k, other in enumerate(masks.stack()):
            assert found[t, k] == pytest.approx(slow_iou(one, other, void))


def slow_boundaries(patterns):
    found = np.zeros(patterns.shape, bool)
    for y, x in np.ndindex(patterns.shape):
        for dy, dx in ((0, 1), (1, 0), (1, 1)):
            inside = y + dy < patterns.shape[0] and x + dx < patterns.shape[1]
            found[y, x] |= inside and patterns[y, x] != patterns[y + dy, x + dx]
    return found


@given(arrays(np.int64, (6, 7), elements=st.integers(-1, 2)))
def test_boundaries_are_those_of_plain_loops(patterns):
    assert np.array_equal(boundaries(patterns), slow_boundaries(patterns))


@given(either_kind)
@settings(max_examples=40, deadline=None)
def test_lost_masks_are_those_that_a_view_of_the_whole_photo_never_draws(masks):
    view = masks.at_size((224, 224))
    ids, _ = region_weights(
        view.patterns, view.membership, (7, 7), rng=np.random.default_rng(0), num_regions=200
    )
    seen = {int(i) for i in ids if i >= 0}
    assert num_lost(masks) == masks.num_masks - len(seen)


def halves(height=20, width=40):
    labels = np.zeros((height, width), np.int64)
    labels[:, width // 2 :] = 1
    return Masks.from_labels(labels)


def test_the_truth_itself_is_perfect():
    found = quality(measure(halves(), Truth((halves(),))))
    assert asdict(found) == {
        "average_best_overlap": 1.0, "recall_50": 1.0, "recall_70": 1.0, "covering": 1.0,
        "boundary_f": 1.0, "masks": 2.0, "area": 0.5, "lost": 0.0,
    }  # fmt: skip


def test_by_hand():
    """One mask over everything; 12 of 60 columns marked as one region, the rest as another."""
    labels = np.zeros((30, 60), np.int64)
    labels[:, 12:] = 1
    whole = Masks.from_labels(np.zeros((30, 60), np.int64))
    tally = measure(whole, Truth((Masks.from_labels(labels),)))
    found = quality(tally)
    assert found.average_best_overlap == pytest.approx((0.2 + 0.8) / 2)
    assert found.recall_50 == found.recall_70 == 0.5
    assert found.covering == pytest.approx(0.2 * 0.2 + 0.8 * 0.8)
    assert found.boundary_f == 0 and tally.border == 30 and tally.drawn == 0


def test_regions_out_of_bounds_are_not_looked_for_but_covered():
    labels = np.zeros((100, 100), np.int64)
    labels[0, 0] = 1  # 0.01 %, the other 99.99 %
    tally = measure(halves(100, 100), Truth((Masks.from_labels(labels),)))
    assert tally.regions == 0 and tally.labelled == 10_000
    assert quality(tally).average_best_overlap is None and quality(tally).covering > 0.49
    assert measure(halves(100, 100), Truth((Masks.from_labels(labels),)), ALL).regions == 2


def test_what_is_void_counts_for_nobody_and_background_counts_against():
    marked, spilt = np.full((20, 40), -1), np.full((20, 40), -1)
    marked[:, :20] = 0
    spilt[:, :30] = 0
    beside = np.zeros((20, 40), bool)
    beside[:, 20:] = True
    masks, truth = Masks.from_labels(spilt), (Masks.from_labels(marked),)
    assert quality(measure(masks, Truth(truth, beside))).average_best_overlap == 1
    assert quality(measure(masks, Truth(truth))).average_best_overlap == pytest.approx(2 / 3)
    void = measure(masks, Truth(truth, beside))
    assert void.border == void.drawn == 0, "neither the edge to void nor what lies in it"


def test_boundaries_may_lie_so_far_apart():
    """On a photo of 300 x 400 the tolerance is 3.75 pixels."""
    for shift, near in ((3, True), (4, False)):
        moved = np.zeros((300, 400), np.int64)
        moved[:, 200 + shift :] = 1
        found = quality(measure(Masks.from_labels(moved), Truth((halves(300, 400),))))
        assert found.boundary_f == float(near)


def test_a_boundary_that_one_of_two_people_drew_is_precise_and_half_recalled():
    whole = Masks.from_labels(np.zeros((20, 40), np.int64))
    other = np.zeros((20, 40), np.int64)
    other[:10] = 1
    tally = measure(halves(), Truth((halves(), Masks.from_labels(other))))
    assert tally.drawn == tally.precise == 20 and tally.border == 60
    assert 20 <= tally.recalled <= 22  # and where the two lines cross
    assert measure(whole, Truth((halves(),))).recalled == 0


def test_small_maps_are_compared_at_the_photos_size():
    small = Masks.from_labels(np.array([[0, 1]]), size=(20, 40))
    assert quality(measure(small, Truth((halves(),)))).covering == 1


def test_sums_are_added_up_field_by_field():
    def tally(times):
        return Tally(**{f.name: f.type(times * i) for i, f in enumerate(fields(Tally), start=1)})

    assert sum([tally(1), tally(1), tally(1)], Tally()) == tally(3)
    assert set(asdict(quality(Tally())).values()) == {None}


def test_a_finer_grid_loses_masks():
    photo = np.zeros((140, 140, 3), np.uint8)
    assert num_lost(Grid(7)(photo)) == 0 and num_lost(Grid(14)(photo)) == 196 - 49


def test_says_when_sizes_differ():
    with pytest.raises(ValueError, match="of 20 x 40 pixels, but the truth is of one of 10 x 40"):
        measure(halves(), Truth((halves(10, 40),)))
