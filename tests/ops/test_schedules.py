"""Tests for detcon.ops.schedules."""

import pytest

from detcon.ops.schedules import ema_rate, step_decay, warmup_cosine


def test_warmup_cosine_at_its_corners():
    """Official schedule: 0 at step 0, the peak after warm-up, half of it midway, 0 at the end."""
    values = [warmup_cosine(step, total=110, warmup=10) for step in (0, 5, 10, 60, 110)]
    assert values == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert warmup_cosine(0, total=10) == 1


def test_step_decay_at_its_corners():
    values = [step_decay(step, total=100) for step in (0, 69, 70, 89, 90, 99)]
    assert values == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert step_decay(0, total=100, warmup=4) == 0.25


def test_ema_rate_rises_from_base_to_one():
    """BYOL: 1 - (1 - base) * (cos(pi k / K) + 1) / 2."""
    values = [ema_rate(step, total=100, base=0.99) for step in (0, 50, 100)]
    assert values == pytest.approx([0.99, 0.995, 1.0])
