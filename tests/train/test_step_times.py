"""Tests of the timing of a step: its parts are in the log, and nothing else is changed."""

from contextlib import nullcontext

import pytest
import torch
from test_step import regions
from train_things import LOOP, train

from detcon import timing
from detcon.methods.compositions import detcon_b
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe
from detcon.results.history import read_history
from detcon.timing import timed, timed_step
from detcon.train import steps as the_steps

PARTS = {"colour", "forward", "loss", "backward", "optimizer", "rest"}
TIMES = {"images_per_second", "data_wait", "memory", "seconds"}


def test_a_part_within_another_does_not_count_for_it(monkeypatch):
    clock = iter([0.0, 1.0, 3.0, 6.0, 10.0, 15.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    with timed("before the step"):
        pass
    with timed_step(torch.device("cpu")) as times, timed("forward"), timed("loss"):
        pass  # forward from 1 to 10, and loss within it from 3 to 6
    assert times.seconds() == {"rest": 1.0 + 5.0, "forward": 2.0 + 4.0, "loss": 3.0}


def logged(folder):
    torch.manual_seed(0)
    encoder = build_encoder(EncoderRecipe(name="resnet18", width=0.125, stride=16))
    method = detcon_b(encoder, hidden=16, outputs=8)
    loop = LOOP.model_copy(update={"log_every": 2})
    train(folder, method, regions, steps=6, batch_size=4, loop=loop, names=None)
    return read_history(folder).rows


def test_logged_steps_are_timed_and_learn_the_same(tmp_path, monkeypatch):
    timed_rows = logged(tmp_path / "timed")
    monkeypatch.setattr(the_steps, "timed_step", lambda _: nullcontext())
    plain_rows = logged(tmp_path / "plain")
    assert [row["step"] for row in timed_rows] == [1, 2, 4, 6]
    for row, plain in zip(timed_rows, plain_rows, strict=True):
        times = {name[5:]: row.pop(name) for name in list(row) if name.startswith("time_")}
        assert set(times) == (PARTS if row["step"] > 1 else set()), "the first step compiles"
        assert all(seconds > 0 for seconds in times.values())
        assert row.keys() == plain.keys()
        assert all(row[name] == plain[name] for name in row.keys() - TIMES)


def test_on_a_gpu_parts_are_read_from_its_queue_and_add_up():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    x = torch.randn(4096, 4096, device="cuda")
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    with timed_step(x.device) as times, timed("forward"):
        for _ in range(20):
            x = x @ x / 4096
    end.record()
    end.synchronize()
    seconds = times.seconds()
    assert 0.9 < seconds["forward"] / (begin.elapsed_time(end) / 1000) <= 1.0
