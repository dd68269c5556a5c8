"""Tests for detcon.downstream.tasks.depth.scoring."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from detcon.data.labelled.examples import Example, LabelError
from detcon.downstream.tasks.depth.scoring import score


def picture(depth):
    return Example("p", np.zeros((*depth.shape, 3), np.uint8), depth)


def by_hand(predictions, truths):
    """The formulas, pixel by pixel in Python's floats."""
    pairs = [
        (float(d), float(t))
        for prediction, truth in zip(predictions, truths)
        for d, t in zip(prediction.ravel(), truth.ravel())
        if not math.isnan(t)
    ]
    n = len(pairs)
    figures = {
        f"delta{k}": 100 * sum(max(d / t, t / d) < 1.25**k for d, t in pairs) / n for k in (1, 2, 3)
    }
    return figures | {
        "rms": math.sqrt(sum((d - t) ** 2 for d, t in pairs) / n),
        "relative": sum(abs(d - t) / t for d, t in pairs) / n,
        "log10": sum(abs(math.log10(d) - math.log10(t)) for d, t in pairs) / n,
    }


@given(st.integers(0, 2**32), st.floats(0, 0.8))
@settings(max_examples=50, deadline=None)
def test_the_figures_equal_the_formulas(seed, holes):
    rng = np.random.default_rng(seed)
    sizes = [(3, 4), (5, 2), (4, 4)]
    truths = [rng.uniform(0.5, 9, size).astype(np.float32) for size in sizes]
    predictions = [(t * rng.uniform(0.4, 2.5, t.shape)).astype(np.float32) for t in truths]
    for truth in truths:
        truth[rng.random(truth.shape) < holes] = np.nan
    truths[0][0, 0] = 1.0
    queue = iter(predictions)
    found = score(lambda _: next(queue), [picture(truth) for truth in truths])
    expected = by_hand(predictions, truths)
    assert found.figures == {name: pytest.approx(value) for name, value in expected.items()}
    assert found.value == found.figures["delta1"] and found.per_class == {}


def test_pixels_weigh_alike_whatever_their_picture():
    """3 pixels right and 1 wrong are 75 %; a mean by picture would say 50 %."""
    right, wrong = np.full((1, 3), 2, np.float32), np.full((1, 1), 9, np.float32)
    found = score(lambda p: np.full(p.labels.shape, 2, np.float32), map(picture, (right, wrong)))
    assert found.value == 75


def test_nothing_to_judge_by():
    with pytest.raises(LabelError, match="no pixel of the validation photos has a depth"):
        score(lambda p: p.labels, [picture(np.full((2, 2), np.nan, np.float32))])
