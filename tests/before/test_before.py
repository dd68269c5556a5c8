"""What version 0.1.0 left on disk still opens, and means the same.

`artifacts/` was written by that version: four mask stores and a pretraining of eight rendered
scenes of 64 pixels, whole and stopped after three of six updates, and one finished model of each
task. `expected.npz` holds what that version read from them.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import detcon
from detcon.scenes.write import make_scenes

ARTIFACTS = Path(__file__).parent / "artifacts"
TASKS = sorted(path.name for path in (ARTIFACTS / "runs").iterdir() if (path / "seed0").is_dir())


@pytest.fixture(scope="module")
def expected():
    with np.load(ARTIFACTS / "expected.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("source", ["annotations", "felzenszwalb", "grid", "mcg"])
def test_stores_open(source, expected):
    store = detcon.MaskStore(ARTIFACTS / "stores" / source)
    keys = list(store.keys())
    assert len(keys) == 8
    for key in keys:
        stack = store[key].stack()
        assert stack.shape == tuple(expected[f"shape/{source}/{key}"])
        assert np.array_equal(np.packbits(stack), expected[f"store/{source}/{key}"])


def test_backbones_open(expected):
    backbone = detcon.load_backbone(ARTIFACTS / "runs" / "detcon_b" / "backbone.safetensors")
    photo = torch.from_numpy(expected["photo"]).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        features = backbone.encoder.eval()(photo).numpy()
    np.testing.assert_allclose(features, expected["features"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_finished_models_predict_the_same(task, expected):
    found = detcon.load_model(ARTIFACTS / "runs" / task / "seed0").predict(expected["photo"])
    before = expected[f"predict/{task}"]
    if task == "detection":
        np.testing.assert_allclose(found.scores, expected["scores"], atol=1e-4)
        np.testing.assert_allclose(found.objects.boxes, before, atol=1e-2)
    elif task == "depth":
        np.testing.assert_allclose(found, before, rtol=1e-3)
    else:
        assert np.mean(np.asarray(found) != before) < 0.01


def test_reports_read_the_runs(tmp_path):
    runs = [ARTIFACTS / "runs" / "detcon_b", *(ARTIFACTS / "runs" / task for task in TASKS)]
    page = detcon.make_report(runs, out=str(tmp_path / "report.html")).read_text()
    for task in TASKS:
        result = json.loads((ARTIFACTS / "runs" / task / "seed0" / "result.json").read_text())
        assert result["metric"] in page


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("before")
    make_scenes(out=str(folder / "s"), num=8, size=64, workers=1)
    shutil.copytree(ARTIFACTS / "stores" / "felzenszwalb", folder / "m-felzenszwalb")
    return folder


def test_an_interrupted_pretraining_goes_on(scenes, monkeypatch):
    monkeypatch.chdir(scenes)
    shutil.copytree(ARTIFACTS / "interrupted", scenes / "detcon_b")
    detcon.pretrain(ARTIFACTS / "interrupted" / "recipe.yaml")
    losses = [
        [json.loads(line)["loss"] for line in path.read_text().splitlines()]
        for path in (
            scenes / "detcon_b" / "metrics.jsonl",
            ARTIFACTS / "runs" / "detcon_b" / "metrics.jsonl",
        )
    ]
    assert len(losses[0]) == 6
    np.testing.assert_allclose(*losses, rtol=1e-3)
