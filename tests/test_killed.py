"""A pretraining that is killed, and started again by the same command, ends in the same bytes.

One kill in the suite; all ways to be killed, ten times each, with:

    DETCON_KILLS=10 python -m pytest tests/test_killed.py
"""

import os
import random
import signal
import tarfile
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess as Process
from pathlib import Path

import cv2
import pytest
from gloo import start_ranks

from detcon.masks.sources import Grid
from detcon.masks.store.fill import make_masks
from detcon.results.history import read_history
from detcon.scenes.raycast import render_scene
from detcon.train.stop import AGAIN

KILLS = int(os.environ.get("DETCON_KILLS", "1"))
STEPS = 200 if KILLS > 1 else 24
SETTINGS = [
    "method.kind=detcon_b", "method.hidden=32", "method.outputs=16", "encoder.name=resnet18",
    "encoder.width=0.125", "encoder.stride=16", "views.size=32", "optimizer.kind=adamw",
    "optimizer.lr=0.001", "batch_size=8", f"steps={STEPS}", "workers=1", "loop.precision=32",
    "loop.checkpoint_every=7", "loop.log_every=3", "loop.accelerator=cpu",
]  # fmt: skip


@dataclass(frozen=True)
class Way:
    """How a run is made, and how it is ended."""

    signal: int = signal.SIGKILL
    ranks: int = 1
    source: str = "images"


WAYS = {
    "kill": Way(),
    "term": Way(signal=signal.SIGTERM),
    "ranks": Way(ranks=2),
    "tars": Way(source="shards"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The same photos in a folder and in tars, each with masks."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir()
    (folder / "shards").mkdir()
    for i in range(16):
        path = folder / "images" / f"{i:02}.png"
        scene = render_scene(seed=1, index=i, size=64)
        cv2.imwrite(str(path), cv2.cvtColor(scene.rgb, cv2.COLOR_RGB2BGR))
        with tarfile.open(folder / "shards" / f"{i // 8}.tar", "a") as tar:
            tar.add(path, path.name)
    for source in ("images", "shards"):
        out = folder / f"{source}-masks"
        make_masks(images=folder / source, out=out, generator=Grid(3), workers=1)
    return folder


@pytest.mark.parametrize("name", WAYS)
def test_killed_and_started_again(name, data, tmp_path):
    way = WAYS[name]
    if KILLS == 1 and way != Way():
        pytest.skip("DETCON_KILLS=10 runs it")
    run_through(way, data, tmp_path / "whole")
    seconds = read_history(tmp_path / "whole").rows[-1]["seconds"]
    moments = random.Random(name)
    kills = 0
    while kills < KILLS and not (tmp_path / "cut" / "backbone.safetensors").exists():
        processes = start(way, data, tmp_path / "cut")
        wait_for_checkpoint(processes, tmp_path / "cut")
        time.sleep(moments.uniform(0, 2 * seconds / KILLS))
        for process in processes:
            os.kill(process.pid, way.signal)
        assert end(processes) <= {-way.signal, AGAIN, 0}, (tmp_path / ".said-0").read_text()
        kills += 1
    run_through(way, data, tmp_path / "cut")
    whole, cut = (tmp_path / run / "backbone.safetensors" for run in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes(), f"after {kills} kills"


def start(way: Way, data: Path, out: Path) -> list[Process]:
    source, masks = data / way.source, data / f"{way.source}-masks"
    words = ["detcon", "pretrain", f"images={source}", f"masks={masks}", f"out={out}", *SETTINGS]
    command = f"import sys; from detcon.cli import main; sys.argv = {words}; main()"
    return start_ranks(command, out.parent, way.ranks)


def end(processes: list[Process]) -> set[int | None]:
    """The exit codes, once all have ended; None where one goes on without end."""
    for process in processes:
        process.join(timeout=300)
    return {process.exitcode for process in processes}


def run_through(way: Way, data: Path, out: Path) -> None:
    assert end(start(way, data, out)) == {0}, (out.parent / ".said-0").read_text()


def wait_for_checkpoint(processes: list[Process], out: Path) -> None:
    """Until the first checkpoint of this process: there is something to go on from."""
    last = out / "checkpoints" / "last.ckpt"
    before = last.stat().st_mtime_ns if last.exists() else None
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and any(process.is_alive() for process in processes):
        if last.exists() and last.stat().st_mtime_ns != before:
            return
        time.sleep(0.01)
