"""Tests for detcon.data.order: each photo once an epoch, with a table and without."""

import numpy as np
import pytest

from detcon.data import order
from detcon.data.loader import _order
from detcon.data.order import Cipher, order_of, permutation


@pytest.fixture
def without_table(monkeypatch):
    monkeypatch.setattr(order, "TABLE", 0)


@pytest.mark.parametrize("num", [*range(1, 70), 255, 256, 257, 1000, 4095, 4096, 4097, 65537])
def test_a_cipher_shows_each_photo_once(num, without_table):
    found = order_of(num, 0, 0)
    assert isinstance(found, Cipher)
    assert sorted(found[0:num].tolist()) == list(range(num))


def test_a_cipher_gives_the_same_in_parts(without_table):
    whole = order_of(1000, 3, 7)[0:1000]
    parts = [order_of(1000, 3, 7)[start : start + 40] for start in range(0, 1000, 40)]
    assert np.array_equal(np.concatenate(parts), whole)
    for seed, epoch in ((3, 8), (4, 7)):
        other = order_of(1000, seed, epoch)[0:1000]
        assert (other == whole).mean() < 0.01


@pytest.mark.parametrize("num", [65_536, 100_000])
def test_a_cipher_is_as_even_as_a_shuffle(num, without_table):
    """Photos of each 32nd of the list lie in all 32nds of the order: chi-squared of 31 x 31."""
    sums = []
    for epoch in range(8):
        found = order_of(num, 0, epoch)[0:num]
        counts = np.histogram2d(np.arange(num), found, bins=32)[0]
        sums.append(((counts - num / 1024) ** 2 / (num / 1024)).sum())
        steps = np.diff(found)
        assert abs(np.corrcoef(steps[:-1], steps[1:])[0, 1] + 0.5) < 0.02, "as of independent draws"
    assert 961 - 4 * 44 / 8**0.5 < np.mean(sums) < 961 + 4 * 44 / 8**0.5


def test_a_hundred_million_photos_still_have_their_table(monkeypatch):
    """So that runs that have one go on as they began."""
    assert order.TABLE == 100_000_000
    monkeypatch.setattr(order, "TABLE", 10)
    assert np.array_equal(order_of(10, 1, 2), permutation(10, 1, 2))


def test_batches_of_a_billion_photos_are_resumed_and_shared():
    num, batch = 1_000_000_000, 64
    last = num // batch - 1
    whole = list(_order(num, batch, 0, range(last, last + 2), rank=0, world=1))
    ranks = [list(_order(num, batch, 0, range(last, last + 2), rank=r, world=2)) for r in (0, 1)]
    assert [left + right for left, right in zip(*ranks, strict=True)] == whole
    assert list(_order(num, batch, 0, range(last + 1, last + 2), rank=0, world=1)) == whole[1:]
    assert [{epoch for epoch, _ in one} for one in whole] == [{0}, {1}]
    assert all(0 <= photo < num for one in whole for _, photo in one)
