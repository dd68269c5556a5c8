"""Tests for detcon.ops.labels."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from detcon.ops.labels import count_labels, sample_regions, shrink_labels


@st.composite
def maps(draw):
    """A label map that divides into a grid; ids may be negative, and far apart."""
    h, w = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    y, x = h * draw(st.integers(1, 5)), w * draw(st.integers(1, 5))
    ids = draw(st.lists(st.integers(-3, 6) | st.integers(-1, 2**24), min_size=1, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    return rng.choice(ids, (y, x)), (h, w)


def slow_shrink_labels(labels, grid):
    """As the official code: one-hot, average over each cell, argmax."""
    ids = np.unique(labels)
    (h, w), (y, x) = grid, labels.shape
    share = np.stack([(labels == i).reshape(h, y // h, w, x // w).mean((1, 3)) for i in ids])
    return ids[share.argmax(0)]


@given(maps())
@settings(max_examples=100, deadline=None)
def test_shrinking_is_pooling_the_one_hot_map_and_argmax(case):
    labels, grid = case
    assert np.array_equal(shrink_labels(labels, grid), slow_shrink_labels(labels, grid))


@given(maps())
@settings(max_examples=100, deadline=None)
def test_counts_every_pixel_once(case):
    labels, (h, w) = case
    ids, counts = count_labels(labels, (h, w))
    assert np.array_equal(ids, np.unique(labels))
    cells = labels.reshape(h, labels.shape[0] // h, w, labels.shape[1] // w)
    for k, one in enumerate(ids):
        assert np.array_equal(counts[..., k], (cells == one).sum((1, 3)))


@given(maps(), st.integers(0, 2**31))
@settings(max_examples=100, deadline=None)
def test_counting_rows_and_columns_of_a_map_is_counting_what_they_make_up(case, seed):
    labels, (h, w) = case
    rng = np.random.default_rng(seed)
    rows = rng.integers(labels.shape[0], size=h * int(rng.integers(1, 9)))
    columns = rng.integers(labels.shape[1], size=w * int(rng.integers(1, 9)))
    ids, counts = count_labels(labels, (h, w), rows, columns)
    expected_ids, expected = count_labels(labels[rows[:, None], columns], (h, w))
    assert np.array_equal(ids, expected_ids)
    assert np.array_equal(counts, expected)


def test_ties_go_to_the_lowest_id():
    assert shrink_labels(np.array([[7, 3], [3, 7]]), (1, 1)).tolist() == [[3]]
    assert shrink_labels(np.array([[7, -1], [-1, 7]]), (1, 1)).tolist() == [[-1]]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32])
def test_the_range_of_a_type_does_not_overflow(dtype):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    labels = np.array([[low, high], [high, high]], dtype)
    assert shrink_labels(labels, (1, 2)).tolist() == [[low, high]]


@given(st.sets(st.integers(0, 1000), min_size=1, max_size=30), st.integers(0, 2**31))
@settings(max_examples=100, deadline=None)
def test_only_ids_that_are_present_are_drawn(present, seed):
    """Otherwise a zero vector in each view would count as a perfect pair."""
    drawn = sample_regions(np.array(sorted(present)), 16, np.random.default_rng(seed))
    assert set(drawn.tolist()) <= present
    assert len(drawn) == 16


def test_each_present_id_is_equally_likely():
    present = np.array([2, 5, 11, 300])
    drawn = sample_regions(present, 40_000, np.random.default_rng(0))
    counts = [(drawn == one).sum() for one in present]
    assert counts == pytest.approx([10_000] * 4, abs=5 * (40_000 * 3 / 16) ** 0.5)


def test_nothing_present_gives_minus_one():
    nothing = np.empty(0, np.int64)
    assert sample_regions(nothing, 3, np.random.default_rng(0)).tolist() == [-1, -1, -1]


def test_says_when_cells_would_be_uneven():
    with pytest.raises(ValueError, match="cannot divide 5 x 4 pixels evenly into 2 x 2 cells; cho"):
        shrink_labels(np.zeros((5, 4), np.uint8), (2, 2))


def test_never_imports_torch():
    code = "import sys, detcon.ops.labels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
