"""Tests for logging to W&B, with a stand-in for the package: no network, no account."""

import random
import shutil
import sys
from types import SimpleNamespace

import pytest
import torch
from train_things import LOOP, train

from detcon.results.history import read_history
from detcon.train.metrics import WandbError

ASKED = LOOP.model_copy(update={"wandb": "detcon"})


class StandIn:
    """What W&B would have been told."""

    def __init__(self):
        self.begun, self.lines, self.finished = [], {}, 0

    def init(self, **options):
        torch.rand(3), random.random()
        self.begun.append(options)
        return SimpleNamespace(log=self.log, finish=self.finish)

    def log(self, figures, step):
        self.lines[step] = figures

    def finish(self):
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    return stand_in


def test_every_line_of_the_log_is_there_too(wandb, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("method:\n  kind: byol\n")
    train(tmp_path / "run", loop=ASKED)
    [options] = wandb.begun
    assert (options["project"], options["name"]) == ("detcon", "run")
    assert options["config"] == {"method": {"kind": "byol"}}
    assert wandb.lines == {line.pop("step"): line for line in read_history(tmp_path / "run").rows}
    assert wandb.finished == 1


def test_a_resumed_and_moved_run_goes_on_in_the_same_one(wandb, tmp_path):
    train(tmp_path / "a", loop=ASKED, steps=5)
    shutil.move(tmp_path / "a", tmp_path / "b")
    train(tmp_path / "b", loop=ASKED)
    first, second = wandb.begun
    assert first["id"] == second["id"] and second["resume"] == "allow"
    train(tmp_path / "c", loop=ASKED)
    assert wandb.begun[2]["id"] != first["id"]


def test_the_training_does_not_notice(wandb, tmp_path):
    torch.manual_seed(1)
    with_it = train(tmp_path / "with", loop=ASKED).state_dict()
    torch.manual_seed(1)
    without = train(tmp_path / "without").state_dict()
    assert all(torch.equal(with_it[name], without[name]) for name in without)
    assert len(wandb.begun) == 1, "and it is loaded only where it is asked for"


def test_says_what_is_missing(wandb, monkeypatch, tmp_path):
    def refuse(**_):
        raise RuntimeError("no API key\n  configured")

    monkeypatch.setattr(wandb, "init", refuse, raising=False)
    with pytest.raises(WandbError, match=r"of W&B: no API key configured; .*WANDB_MODE=offline"):
        train(tmp_path / "a", loop=ASKED)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(WandbError, match=r"loop.wandb=detcon needs wandb.*'detcon\[wandb\]'"):
        train(tmp_path / "b", loop=ASKED)
