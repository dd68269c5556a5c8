"""Tests for detcon.ops.compiled."""

import numba

from detcon.ops.compiled import compiled


def twice(x):
    return 2 * x


def test_compiles_and_keeps():
    assert compiled(twice)(3.5) == 7
    assert compiled(twice)._cache.cache_path


def test_compiles_where_nothing_can_be_kept(monkeypatch):
    """numba raises when neither the source's folder nor the user's cache can be written."""
    original = numba.njit

    def no_place(function, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'twice': no locator available")
        return original(function, **options)

    monkeypatch.setattr(numba, "njit", no_place)
    assert compiled(twice)(3.5) == 7
