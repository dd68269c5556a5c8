"""Tests for detcon.train.progress."""

from detcon.train.progress import ProgressReport

FIGURES = {"loss": 1.0, "images_per_second": 8.0, "data_wait": 0.0}


def test_time_left_is_told_once_it_is_known(monkeypatch, capsys):
    """A minute for the first step, which compiles, and a second for each of the others."""
    clock = [0.0]
    monkeypatch.setattr("detcon.train.progress.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("detcon.train.progress.LINE_EVERY", 1)
    with ProgressReport("short", step=0, steps=100) as report:
        for step in range(1, 101):
            clock[0] += 60 if step == 1 else 1
            report.advance(step)
            report.log(step, FIGURES)
    lines = capsys.readouterr().err.splitlines()
    assert not any("left" in line for line in (*lines[:3], lines[-1]))
    assert lines[3].endswith("short 4/100 · loss 1 · 8 images/s · data wait 0% · 0:01:36 left")
    assert lines[49].endswith("0:00:50 left") and lines[98].endswith("0:00:01 left")
