"""Tests for what may happen to a pretraining from outside: what is kept, and what is said."""

import os
import shutil
import signal
import sys
import tarfile
import time

import cv2
import pytest
import torch
from safetensors.torch import load_file

from detcon.cli import main
from detcon.data.loader import collate
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.pretraining.training import pretrain
from detcon.results.recipe import recorded_fingerprint
from detcon.scenes.raycast import render_scene
from detcon.train.checkpoint import load_checkpoint
from detcon.train.run import LAST

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


def test_tars_give_the_run_of_the_files_they_were_made_of(images, tmp_path):
    """Bit for bit, with masks, and from a list of the files too."""
    unpacked, shards = tmp_path / "unpacked", tmp_path / "shards"
    shards.mkdir()
    for number, path in enumerate(sorted(images.iterdir())):
        folder = unpacked / f"{number % 3:03}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    for folder in sorted(unpacked.iterdir()):
        with tarfile.open(shards / f"{folder.name}.tar", "w") as tar:
            tar.add(folder, ".")
    names = sorted(str(path.relative_to(tmp_path)) for path in unpacked.rglob("*.png"))
    (unpacked / "list.txt").write_text(
        "\n".join(name.removeprefix("unpacked/") for name in names[::-1])
    )
    runs = []
    for source in (unpacked, f"{shards}/{{000..002}}.tar", unpacked / "list.txt"):
        masks = make_masks(
            images=source, out=tmp_path / f"masks{len(runs)}", generator={"kind": "grid"}, workers=1
        )
        options = {"masks": masks, "method.kind": "detcon_s", "steps": 4}
        runs.append(run(source, tmp_path / f"run{len(runs)}", **options))
    kept = [MaskStore(tmp_path / f"masks{n}").keys() for n in range(3)]
    assert kept[0] == kept[1] == kept[2] and len(kept[0]) == 12
    weights = [load_file(backbone) for backbone in runs]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]) and torch.equal(value, weights[2][name]), name


def test_a_run_that_waits_for_its_data_says_what_to_change(images, tmp_path, monkeypatch, capsys):
    def slowly(samples):
        time.sleep(0.2)
        return collate(samples)

    monkeypatch.setattr("detcon.data.loader.collate", slowly)
    monkeypatch.setattr("detcon.pretraining.notices.num_cores", lambda: 8)
    run(images, tmp_path / "run")
    said = capsys.readouterr().err
    assert (
        said.count("of the time goes into waiting for data; stop it and go on with workers=8") == 1
    )
    assert "(now 0), or start again with max_side= or views.reduced_decode=true" in said
