"""Tests for detcon.train.progress."""

import torch

from detcon.train.progress import ProgressReport, Throughput, Waiting, peak_memory

FIGURES = {"loss": 1.0, "images_per_second": 8.0, "data_wait": 0.0}


def test_time_left_is_told_once_it_is_known(monkeypatch, capsys):
    """A minute for the first step, which compiles, and a second for each of the others."""
    clock = [0.0]
    monkeypatch.setattr("detcon.train.progress.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("detcon.train.progress.LINE_EVERY", 1)
    report = ProgressReport("short", step=0, steps=100)
    with report.bar:
        for step in range(1, 101):
            clock[0] += 60 if step == 1 else 1
            report.advance(step)
            report.log(step, FIGURES)
    lines = capsys.readouterr().err.splitlines()
    assert not any("left" in line for line in (*lines[:3], lines[-1]))
    assert lines[3].endswith("short 4/100 · loss 1 · 8 images/s · data wait 0% · 0:01:36 left")
    assert lines[49].endswith("0:00:50 left") and lines[98].endswith("0:00:01 left")


def test_throughput_counts_photos_and_waiting(monkeypatch):
    clock = iter([0.0, 1.0, 4.0, 10.0, 10.0])
    monkeypatch.setattr("detcon.train.progress.time.perf_counter", lambda: next(clock))
    meter = Throughput()  # at 0
    with meter.spent("data"):  # from 1 to 4
        meter.count(50)
    assert meter.read() == {"images_per_second": 5, "data_wait": 0.3}  # at 10


def test_memory_is_the_most_that_this_process_took():
    before = peak_memory(torch.device("cpu"))["memory"]
    block = torch.ones(2**26, dtype=torch.uint8)
    after = peak_memory(torch.device("cpu"))["memory"]
    assert 0.05 < before <= after < 1000 and after >= block.nbytes / 2**30, "GiB"


def test_waiting_that_the_device_worked_through_does_not_count(monkeypatch):
    clock = iter([0.0, 1.0, 4.0, 5.0, 6.0, 10.0, 10.0])
    monkeypatch.setattr("detcon.train.progress.time.perf_counter", lambda: next(clock))
    meter = Throughput()  # at 0
    with meter.spent("data"):  # from 1 to 4, and the device was busy until 6
        pass
    with meter.spent("device"):  # from 5 to 6
        pass
    assert meter.read()["data_wait"] == 0.2  # at 10


def test_waiting_is_said_once_and_not_for_the_start_of_the_workers():
    waiting = Waiting("give workers=4")
    assert [waiting.warning(share, is_last=False) for share in (1.0, 0.3, 0.3, 0.3, 0.3)] == [
        ""
    ] * 5
    said = waiting.warning(0.3, is_last=False)
    assert said == "30% of the time goes into waiting for data; give workers=4"
    assert waiting.warning(1.0, is_last=True) == ""
    little = Waiting("give workers=4")
    assert [little.warning(0.2, is_last=n == 8) for n in range(9)] == [""] * 9
    short = Waiting("give workers=4")
    assert [bool(short.warning(0.9, is_last=n == 1)) for n in range(2)] == [False, True]
    assert Waiting("x").warning(1.0, is_last=True) == "", "one log alone tells nothing"
