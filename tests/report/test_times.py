"""Tests of where the time of a run went."""

import base64

import pytest

from detcon.report import times
from detcon.report.runs import Pretraining
from detcon.report.times import plot_times, seconds_a_step
from detcon.results.history import History
from detcon.results.recipe import SavedRecipe


def history(**work):
    """100 steps of 0.5 s, a tenth of it waiting, and a probe of 20 s."""
    times = {"time_forward": 0.125, "time_backward": 0.25, "time_rest": 0.001}
    times |= {f"time_{part}": seconds for part, seconds in work.items()}
    return History(
        [
            {"step": 1, "seconds": 5.0, "data_wait": 0.9},
            {"step": 51, "seconds": 35.0, "data_wait": 0.1, **times, "probe_seconds": 20.0},
            {"step": 101, "seconds": 75.0, "data_wait": 0.1, **times},
        ]
    )


def test_parts_add_up_to_a_step():
    found = seconds_a_step(history(), workers=0)
    expected = {"waiting": (30 + 20) * 0.1 / 100, "forward": 0.125, "backward": 0.25}
    expected |= {"probes": 20 / 101, "rest": 0.5 - 0.05 - 0.375}
    assert found == pytest.approx(expected)
    assert sum(found.values()) == pytest.approx(50 / 100 + 20 / 101)


def test_probes_are_all_of_the_run_wherever_they_are_logged():
    """Before the first step, between logs, with the last log and after it; at steps of no log."""
    aside = [(0, 7.0), (20, 3.0), (101, 11.0), (104, 9.0)]
    rows = {row["step"]: dict(row) for row in history().rows}
    for step, seconds in aside:
        rows.setdefault(step, {"step": step})["probe_seconds"] = seconds
    for step in (51, 101):
        rows[step]["seconds"] += 3.0  # the clock runs on between the logs
    found = seconds_a_step(History([rows[step] for step in sorted(rows)]), workers=0)
    assert found.pop("probes") == pytest.approx((20 + 7 + 3 + 11 + 9) / 104)
    plain = seconds_a_step(history(), workers=0)
    assert found == pytest.approx({part: plain[part] for part in found})


def test_reading_is_waiting_without_workers_and_beside_the_step_with_them():
    alone = seconds_a_step(history(reading=0.03, cutting=0.01), workers=0)
    assert alone["waiting"] == pytest.approx(0.05 - 0.04) and alone["reading"] == 0.03
    assert sum(alone.values()) == pytest.approx(0.5 + 20 / 101)
    beside = seconds_a_step(history(reading=0.03, cutting=0.01), workers=2)
    assert beside["waiting"] == pytest.approx(0.05)
    assert (beside["reading"], beside["cutting"]) == (0.015, 0.005)
    assert sum(beside.values()) == pytest.approx(0.5 + 20 / 101 + 0.02)


def test_a_run_that_was_not_timed_has_no_times(tmp_path):
    plain = History([{"step": 1, "seconds": 1.0}, {"step": 2, "seconds": 2.0}])
    assert seconds_a_step(plain, workers=0) == {}
    run = Pretraining(tmp_path, "old", None, {}, plain, None)
    assert plot_times([run]) == []


def test_the_plot_has_a_bar_a_run_and_one_of_its_workers(tmp_path):
    saved = SavedRecipe(tmp_path, "", {"workers": 2})
    run = Pretraining(tmp_path, "DetCon-S", saved, {}, history(reading=0.03, cutting=0.01), None)
    [plot] = plot_times([run])
    assert plot.alt == "Seconds a step by part: DetCon-S 0.698 s, DetCon-S, 2 workers 0.02 s"
    head, content = plot.address.split(",", 1)
    assert head == "data:image/svg+xml;base64" and b"<svg" in base64.b64decode(content)


@pytest.mark.parametrize(
    ("probing", "name"), [(None, "figures without labels"), ({"every": 5}, "probes")]
)
def test_measuring_without_labels_is_no_probe(tmp_path, monkeypatch, probing, name):
    drawn = {}
    monkeypatch.setattr(times, "plot_stacked", lambda bars, parts, **_: drawn.update(bars) or "")
    saved = SavedRecipe(tmp_path, "", {"workers": 0, "probing": probing})
    plot_times([Pretraining(tmp_path, "run", saved, {}, history(), None)])
    measured = {"figures without labels", "probes"} & drawn["run"].keys()
    assert measured == {name} and drawn["run"][name] == pytest.approx(20 / 101)
