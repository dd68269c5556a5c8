"""Tests for detcon.ops.compiled."""

import numba

from detcon.notes import note
from detcon.ops.compiled import compiled


def twice(x):
    return 2 * x


def test_compiles_and_keeps():
    assert compiled(twice)(3.5) == 7
    assert compiled(twice)._cache.cache_path


def test_tells_once_that_it_compiles_and_nothing_where_it_need_not(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(twice, "__module__", "detcon.twice")
    note.cache_clear()
    first, again = compiled(twice), compiled(twice)
    assert first(3.5) == 7
    said = "compiling loops over pixels that this command needs, and keeping them: about ten sec"
    assert capsys.readouterr().err == f"{said}onds\n"
    assert first(3) == 6, "another type: compiled, too"
    note.cache_clear()
    assert again(4.5) == 9, "from the folder"
    assert capsys.readouterr().err == ""


def test_compiles_where_nothing_can_be_kept(monkeypatch):
    """numba raises when neither the source's folder nor the user's cache can be written."""
    original = numba.njit

    def no_place(function, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'twice': no locator available")
        return original(function, **options)

    monkeypatch.setattr(numba, "njit", no_place)
    assert compiled(twice)(3.5) == 7
