"""Tests for detcon.formats.reading.instances: held against plain loops."""

from collections import Counter

import numpy as np
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from detcon.formats.reading.instances import Kind, majority, objects_from_ids

MAPS = arrays(np.int32, (4, 5), elements=st.integers(0, 3))


@given(MAPS, MAPS, arrays(bool, (4, 5)))
@settings(max_examples=100, deadline=None)
def test_the_class_of_an_instance_is_that_of_most_of_its_pixels(ids, labels, counted):
    wanted = {}
    for number in np.unique(ids[counted]).tolist():
        votes = Counter(labels[counted & (ids == number)].tolist())
        wanted[number] = min(votes, key=lambda label: (-votes[label], label))
    assert majority(ids, labels, counted) == wanted


@given(MAPS, st.sets(st.integers(0, 5)))
@settings(max_examples=100, deadline=None)
def test_boxes_and_masks_are_those_of_the_wanted_ids(ids, wanted):
    kinds = {number * 700: Kind(number, crowd=number == 2) for number in wanted}
    objects = objects_from_ids(ids * 700, kinds)
    shown = [number for number in sorted(wanted) if (ids == number).any()]
    assert objects.classes.tolist() == shown and objects.crowd.tolist() == [n == 2 for n in shown]
    assert np.array_equal(objects.masks(), np.array([ids == n for n in shown]).reshape(-1, 4, 5))
    for number, box in zip(shown, objects.boxes.tolist()):
        rows, columns = np.nonzero(ids == number)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
