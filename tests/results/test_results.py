"""Tests for the room as a whole: what it reads, and that it needs no torch."""

import subprocess
import sys

import pytest

from detcon.results import RunError
from detcon.results.environment import read_environment, write_environment
from detcon.results.recipe import deciding_settings, read_recipe, recorded_fingerprint
from detcon.results.result import unit_of, written


@pytest.mark.parametrize(
    "figure, value, text, unit",
    [
        ("delta1", 81.123, "81.1", "%"),
        ("rms", 0.573, "0.573", "m"),
        ("relative", 0.144, "0.144", ""),
        ("log10", 0.0587, "0.0587", ""),
    ],
)
def test_each_figure_of_depth_has_its_own_unit_and_digits(figure, value, text, unit):
    assert written(value, figure, "%") == text and unit_of(figure, "%") == unit


def test_a_damaged_environment_is_named(tmp_path):
    assert read_environment(tmp_path) == {}
    write_environment(tmp_path, {"cores": 2})
    assert read_environment(tmp_path) == {"cores": 2}
    for text in ("{", "[]"):
        (tmp_path / "environment.json").write_text(text)
        with pytest.raises(RunError, match=r"environment\.json .*; restore it, or remove it"):
            read_environment(tmp_path)


def test_settings_that_decide_nothing_leave_the_fingerprint_alone(tmp_path):
    assert read_recipe(tmp_path) is None and recorded_fingerprint(tmp_path) == ""
    found = []
    for text in ("steps: 2\n", "steps: 2\nloop: {keep: 3}\ndiscovery: null\n", "steps: 3\n"):
        (tmp_path / "recipe.yaml").write_text(text)
        found.append(recorded_fingerprint(tmp_path))
    assert found[0] == found[1] != found[2]
    assert deciding_settings({"discovery": {"every": 2}}) == {"discovery.every": 2}


def test_the_room_needs_no_torch():
    rooms = "environment, history, lines, recipe, result, statistics"
    code = f"import sys; from detcon.results import {rooms}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
