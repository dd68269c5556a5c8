"""Tests for detcon.downstream.tasks.depth.network."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from detcon.downstream.tasks.depth.network import LOSSES, absolute, reverse_huber


def by_hand(predicted, measured):
    """Pixel by pixel in Python's floats."""
    errors = [
        abs(p - m)
        for p, m in zip(predicted.flatten().tolist(), measured.flatten().tolist())
        if not math.isnan(m)
    ]
    c = 0.2 * max(errors, default=0.0)
    huber = [e if e <= c else (e * e + c * c) / (2 * c) for e in errors]
    return sum(huber) / max(len(errors), 1), sum(errors) / max(len(errors), 1)


@given(st.integers(0, 2**32), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_both_losses_equal_loops(seed, holes):
    source = torch.Generator().manual_seed(seed)
    predicted = 4 * torch.randn(2, 3, 4, generator=source, dtype=torch.float64)
    measured = 4 * torch.rand(2, 3, 4, generator=source, dtype=torch.float64)
    measured[torch.rand(2, 3, 4, generator=source) < holes] = torch.nan
    huber, plain = by_hand(predicted, measured)
    assert reverse_huber(predicted, measured).item() == pytest.approx(huber)
    assert absolute(predicted, measured).item() == pytest.approx(plain)


def test_the_gradient_is_that_of_a_constant_c():
    measured = torch.zeros(1, 1, 3)
    predicted = torch.tensor([[[5.0, -2.0, 0.5]]], requires_grad=True)
    reverse_huber(predicted, measured).backward()
    assert predicted.grad is not None  # c = 1: e / c above it, the sign below
    torch.testing.assert_close(predicted.grad, torch.tensor([[[5.0, -2.0, 1.0]]]) / 3)


@pytest.mark.parametrize("loss", LOSSES.values())
def test_nothing_measured_costs_and_teaches_nothing(loss):
    predicted = torch.randn(2, 3, 4, requires_grad=True)
    value = loss(predicted, torch.full((2, 3, 4), torch.nan))
    value.backward()
    assert value.item() == 0 and predicted.grad is not None and not predicted.grad.any()


@pytest.mark.parametrize("loss", LOSSES.values())
def test_holes_have_no_gradient_and_a_perfect_prediction_costs_nothing(loss):
    measured = torch.rand(1, 3, 4)
    measured[0, 1] = torch.nan
    predicted = torch.randn(1, 3, 4, requires_grad=True)
    loss(predicted, measured).backward()
    assert predicted.grad is not None
    assert predicted.grad[0, 0].all() and not predicted.grad[0, 1].any()
    perfect = measured.nan_to_num(7.0).requires_grad_()
    value = loss(perfect, measured)
    value.backward()
    assert value.item() == 0 and perfect.grad is not None and perfect.grad.isfinite().all()
