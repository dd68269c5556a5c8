"""Tests for detcon.masks.masks."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from detcon.masks import Masks

stacks = st.integers(0, 20).flatmap(
    lambda k: array_shapes(min_dims=2, max_dims=2, max_side=9).flatmap(
        lambda shape: arrays(bool, (k, *shape))
    )
)


@given(stacks)
@settings(max_examples=100, deadline=None)
def test_a_stack_comes_back_as_it_was(stack):
    masks = Masks.from_stack(stack)
    assert masks.num_masks == len(stack) and np.array_equal(masks.stack(), stack)
    pixels = {stack[:, y, x].tobytes() for y, x in np.ndindex(*stack.shape[1:])}
    assert len(masks.membership) == len(pixels), "one pattern for each set of masks there is"


@pytest.mark.parametrize("num", [1, 8, 9, 64, 65, 300])
def test_any_number_of_masks_has_its_patterns_in_order(num):
    stack = np.random.default_rng(num).random((num, 6, 7)) > 0.8
    masks = Masks.from_stack(stack)
    assert np.array_equal(masks.stack(), stack)
    patterns = [tuple(row) for row in masks.membership.tolist()]
    assert patterns == sorted(set(patterns)), "stores of the same masks have the same bytes"


@given(
    arrays(
        np.int64, array_shapes(min_dims=2, max_dims=2), elements=st.integers(-3, 9) | st.just(70000)
    )
)
@settings(max_examples=100, deadline=None)
def test_labels_come_back_as_they_were(labels):
    masks = Masks.from_labels(labels)
    assert np.array_equal(masks.labels, np.maximum(labels, -1))
    assert masks.ids.tolist() == sorted({n for n in labels.ravel().tolist() if n >= 0})
    assert masks.num_masks == len(masks.ids) == len(masks.stack())
    for one, number in zip(masks.stack(), masks.ids, strict=True):
        assert np.array_equal(one, labels == number)


def test_a_small_map_stands_for_the_whole_photo():
    masks = Masks.from_labels(np.array([[0, 1, 2]]), size=(2, 7)).at_size()
    assert masks.labels.tolist() == [[0, 0, 1, 1, 1, 2, 2]] * 2, "nearest, half-pixel centres"


def test_unsigned_labels_keep_their_largest_value():
    assert Masks.from_labels(np.array([[255, 0]], np.uint8)).labels.tolist() == [[255, 0]]


def test_overlapping_masks_have_no_labels():
    with pytest.raises(ValueError, match=r"may overlap, .* use stack\(\) instead"):
        _ = Masks.from_stack(np.ones((2, 3, 3), bool)).labels


def test_says_when_the_parts_do_not_fit():
    patterns = np.array([[0, 2]])
    with pytest.raises(
        ValueError, match=r"patterns 0\.\.2, but the membership table has rows 0\.\.1"
    ):
        Masks((1, 2), patterns, np.ones((2, 3), bool))
    with pytest.raises(ValueError, match="got 1 scores for 2 masks"):
        Masks((1, 2), patterns, None, np.ones(1))
    with pytest.raises(ValueError, match="at least one pixel, got a photo of 0 x 2"):
        Masks((0, 2), patterns)
