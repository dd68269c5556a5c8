"""Tests for what may happen to a pretraining from outside: what is kept, and what is said."""

import os
import shutil
import signal
import sys
import time

import cv2
import pytest
import torch

from detcon.cli import main
from detcon.data.loader import collate
from detcon.pretraining import pretrain
from detcon.scenes.raycast import render_scene
from detcon.train.checkpoint import load_checkpoint
from detcon.train.run import LAST, recorded_fingerprint

TINY = {
    "encoder.name": "resnet18",
    "encoder.width": 0.0625,
    "encoder.stride": 16,
    "views.size": 32,
    "method.kind": "simclr",
    "method.hidden": 8,
    "method.outputs": 8,
    "optimizer.kind": "adamw",
    "optimizer.lr": 1e-3,
    "batch_size": 4,
    "steps": 8,
    "workers": 0,
    "loop.log_every": 4,
    "loop.checkpoint_every": 100,
    "loop.precision": "32",
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "images"
    folder.mkdir()
    for i in range(12):
        scene = cv2.cvtColor(render_scene(seed=1, index=i, size=48).rgb, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{i:02}.png"), scene)
    return folder


def run(images, out, **overrides):
    return pretrain(None, **{**TINY, "images": images, "out": out, **overrides})


def steps_made(out):
    return load_checkpoint(out / LAST, fingerprint=recorded_fingerprint(out)).step


def test_a_worker_killed_by_the_system(images, tmp_path, monkeypatch, capsys):
    """One sentence, exit code 2, a checkpoint of all that was made; and the run goes on."""
    made = []

    def killed_at_the_fourth(samples):
        made.append(1)
        if len(made) == 4:
            time.sleep(1)  # until those before were fetched
            os.kill(os.getpid(), signal.SIGKILL)
        return collate(samples)

    settings = TINY | {"images": images, "out": tmp_path / "run", "workers": 1}
    words = [f"{name}={value}" for name, value in settings.items()]
    loading = torch.utils.data.dataloader._MultiProcessingDataLoaderIter._try_get_data
    with monkeypatch.context() as patch:
        patch.setattr(loading, "__defaults__", (0.1,))  # seconds between looks at the workers
        patch.setattr("detcon.data.loader.collate", killed_at_the_fourth)
        patch.setattr(sys, "argv", ["detcon", "pretrain", *words])
        with pytest.raises(SystemExit) as end:
            main()
    said = capsys.readouterr().err
    assert end.value.code == 2 and "Traceback" not in said
    assert "detcon: a worker process that reads photos (pid " in said and "workers=1" in said
    assert steps_made(tmp_path / "run") == 3
    resumed = run(images, tmp_path / "run", workers=1)
    assert resumed.read_bytes() == run(images, tmp_path / "whole").read_bytes()


class Crash(BaseException):
    pass


def test_a_run_folder_can_be_moved_and_resumed(images, tmp_path, monkeypatch):
    def crash_at_the_fourth(*_):
        if made.append(1) or len(made) == 4:
            raise Crash
        return torch.ones(())

    made = []
    options = {"loop.checkpoint_every": 2}
    with monkeypatch.context() as patch:
        patch.setattr("detcon.train.state.Training.add_loss", crash_at_the_fourth)
        with pytest.raises(Crash):
            run(images, tmp_path / "a" / "run", **options)
    (tmp_path / "b").mkdir()
    shutil.move(tmp_path / "a" / "run", tmp_path / "b" / "moved")
    assert steps_made(tmp_path / "b" / "moved") == 2
    moved = run(images, tmp_path / "b" / "moved", **options)
    assert moved.read_bytes() == run(images, tmp_path / "whole", **options).read_bytes()
    assert not (tmp_path / "a" / "run").exists()
