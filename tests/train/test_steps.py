"""Tests for detcon.train.steps: what happens between two steps."""

import os
import signal
from dataclasses import replace

import pytest
from train_things import LOOP, Net

from detcon.train.metrics import MetricsLog
from detcon.train.plan import Hooks, Plan
from detcon.train.progress import ProgressReport
from detcon.train.recipe import Cosine, Sgd
from detcon.train.state import Training, start
from detcon.train.steps import Steps
from detcon.train.stop import Stopped, StopSignals


def interrupted_twice():
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
    yield "a batch"


@pytest.mark.parametrize(
    ("world_size", "error", "saves"), [(1, Stopped, 1), (2, KeyboardInterrupt, 0)]
)
def test_ctrl_c_twice_while_waiting_for_data(world_size, error, saves, monkeypatch, tmp_path):
    """One of several ranks must not save: it would wait for the others for ever."""
    saved = []
    monkeypatch.setattr(Training, "save", lambda self: saved.append(self))
    plan = Plan(10, 6, Sgd(lr=0.1), Cosine(), LOOP)
    training = start(Net(), tmp_path, plan)
    training.step, training.replica = 1, replace(training.replica, world=world_size)
    log = MetricsLog(tmp_path, step=0, write=False)
    report = ProgressReport("test", step=0, steps=10)
    with StopSignals() as stop:
        steps = Steps(training, plan, Hooks(), log=log, report=report, stop=stop)
        with pytest.raises(error):
            steps.fetch(interrupted_twice())
    assert len(saved) == saves
