"""Tests for detcon.train.unreadable: photos that go bad while a run reads them."""

import json

import cv2
import pytest
import torch
from safetensors.torch import load_file

from detcon.photos import TooManyUnreadable, UnreadablePhoto
from detcon.pretraining.training import pretrain
from detcon.results import RunError
from detcon.results.history import read_history
from detcon.results.recipe import recorded_fingerprint
from detcon.scenes.raycast import render_scene
from detcon.train.checkpoint import load_checkpoint
from detcon.train.replica import open_replica
from detcon.train.run import LAST
from detcon.train.unreadable import UnreadablePhotos

TINY = {
    "encoder": {"name": "resnet18", "width": 0.0625, "stride": 16},
    "views": {"size": 32},
    "method": {"kind": "simclr", "hidden": 8, "outputs": 8},
    "optimizer": {"kind": "adamw", "lr": 1e-3},
    "batch_size": 4,
    "steps": 8,
    "workers": 0,
    "loop": {"log_every": 4, "checkpoint_every": 2, "precision": "32"},
}


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(12):
        scene = cv2.cvtColor(render_scene(seed=1, index=i, size=48).rgb, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{i:02}.png"), scene)
    return folder


def run(images, out, **overrides):
    return pretrain(None, **{**TINY, "images": images, "out": out, **overrides})


def steps_made(out):
    return load_checkpoint(out / LAST, fingerprint=recorded_fingerprint(out)).step


def test_photos_that_cannot_be_read_are_passed_over_counted_and_named(images, tmp_path, capsys):
    (images / "03.png").write_bytes(b"no photo")
    (images / "05.png").write_bytes(b"")
    options = {"max_unreadable": 0.2}
    here = run(images, tmp_path / "here", **options)
    said = capsys.readouterr().err
    assert said.count("passed over: cannot read") == 2
    assert f"passed over: cannot read {images / '05.png'}: the file is empty" in said
    lines = (here.parent / "unreadable.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["photo"] for line in lines) == ["03.png", "05.png"]
    assert read_history(here.parent).rows[-1]["unreadable"] == 2
    there = run(images, tmp_path / "there", **options, workers=2)
    assert here.read_bytes() == there.read_bytes(), "whatever the number of workers"


def test_too_many_end_the_run_which_goes_on_when_they_are_mended(images, tmp_path, capsys):
    whole = images.parent / "kept"
    whole.mkdir()
    for name in ("03.png", "05.png"):
        (images / name).rename(whole / name)
        (images / name).write_bytes(b"no photo")
    out = tmp_path / "run"
    match = r"2 of 12 photos can't be read, and max_unreadable=0.01 allows 1; .*jsonl names them"
    with pytest.raises(TooManyUnreadable, match=match):
        run(images, out)
    made = steps_made(out)
    with pytest.raises(TooManyUnreadable, match="2 of 12"):
        run(images, out)
    assert steps_made(out) == made > 0, "nothing is tried in vain"
    (whole / "03.png").replace(images / "03.png")
    capsys.readouterr()
    backbone = run(images, out)
    assert "passed over" not in capsys.readouterr().err, "each is named once"
    assert "03.png" not in (out / "unreadable.jsonl").read_text()
    assert all(torch.isfinite(x).all() for x in load_file(backbone).values())


def test_none_at_all_may_be_asked_for(images, tmp_path):
    (images / "03.png").write_bytes(b"no photo")
    with pytest.raises(UnreadablePhoto, match=r"03\.png: the file holds no picture"):
        run(images, tmp_path / "run", max_unreadable=0)


def test_a_resumed_run_passes_over_the_same(images, tmp_path, monkeypatch):
    (images / "03.png").write_bytes(b"no photo")
    whole = run(images, tmp_path / "whole")

    class Crash(BaseException):
        pass

    def crash(self, rows):
        if rows:
            raise Crash
        return ()

    with monkeypatch.context() as patch:
        patch.setattr(UnreadablePhotos, "figures", lambda self: crash(self, self._known))
        with pytest.raises(Crash):
            run(images, tmp_path / "cut")
    with (tmp_path / "cut" / "unreadable.jsonl").open("a") as file:
        file.write('{"photo": "0')
    cut = run(images, tmp_path / "cut")
    assert cut.read_bytes() == whole.read_bytes()
    names = [(out.parent / "unreadable.jsonl").read_text() for out in (cut, whole)]
    assert names[0] == names[1]


def test_many_at_once_are_not_all_shown(tmp_path):
    alone = open_replica("32", "cpu")
    found = UnreadablePhotos(tmp_path, str, num_photos=1000, share=0.025)
    found.add([(f"{i}.jpg", f"cannot read {i}.jpg") for i in range(25)])
    said = found.settle(alone)
    assert len(said) == 21 and said[-1].startswith("passed over: 5 more, named in")
    assert not found.are_too_many and found.settle(alone) == []
    found.add([("x.jpg", "cannot read x.jpg")])
    assert found.settle(alone) == ["passed over: cannot read x.jpg"] and found.are_too_many


def test_a_run_that_could_read_nothing_leaves_nothing_in_the_way(images, tmp_path):
    whole = {path: path.read_bytes() for path in images.iterdir()}
    for path in whole:
        path.write_bytes(b"")
    for settings in ({}, {"max_unreadable": 0.0}):
        with pytest.raises((TooManyUnreadable, UnreadablePhoto), match="empty"):
            run(images, tmp_path / "run", **settings)
        assert not (tmp_path / "run" / LAST).exists()
    for path, data in whole.items():
        path.write_bytes(data)
    run(images, tmp_path / "run", steps=2, batch_size=3)
    assert steps_made(tmp_path / "run") == 2
    with pytest.raises(RunError, match="holds a run of another recipe"):
        run(images, tmp_path / "run", steps=4, batch_size=3)
