"""A study so small that its cells take a second each."""

import copy

import pytest
import yaml

from detcon.formats.folder.layout import FolderLayout
from detcon.formats.writing.scenes import ScenePicture, ScenesPlan
from detcon.scenes.raycast import CLASSES, render_scene

TINY = {
    "name": "tiny",
    "claim": "masks help (table 0)",
    "masks": {
        "grid": {"kind": "grid", "rows": 2},
        "exact": {
            "kind": "annotations",
            "folder": "train/instances",
            "background": True,
            "ignore": None,
        },
    },
    "pretrain": {
        "method": {"hidden": 32, "outputs": 16},
        "encoder": {"name": "resnet18", "width": 0.125, "stride": 16},
        "views": {"size": 32},
        "optimizer": {"kind": "adamw", "lr": 1e-3},
        "batch_size": 8,
        "steps": 4,
        "workers": 0,
        "loop": {"log_every": 2, "precision": "32", "accelerator": "cpu"},
    },
    "transfer": {
        "task": "knn_segmentation",
        "workers": 0,
        "loop": {"precision": "32", "accelerator": "cpu"},
    },
    "grid": {
        "seed": [0, 1],
        "method": {
            "random": {"backbone": "random"},
            "detcon_s": {"masks": "grid"},
            "exact": {"masks": "exact"},
        },
    },
    "figure": {"x": "method"},
}


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Sixteen scenes to train on and eight to judge by, as a labelled folder."""
    layout = FolderLayout(
        tmp_path_factory.mktemp("scenes"), ScenesPlan(CLASSES, 1, has_depth=False)
    )
    for split, numbers in {"train": range(16), "val": range(16, 24)}.items():
        made = {number: render_scene(seed=1, index=number, size=32) for number in numbers}
        pictures = {n: ScenePicture(s.rgb, s.instances, s.labels, None) for n, s in made.items()}
        layout.finish(split, [layout.save(split, n, one) for n, one in pictures.items()])
    return layout.root


@pytest.fixture
def write_study(tmp_path, monkeypatch, scenes):
    """Writes the study with changes, `grid={...}` replacing that part; returns its path."""
    monkeypatch.chdir(tmp_path)
    data = {"scenes": {"kind": "folder", "path": str(scenes)}}

    def write(**changes):
        path = tmp_path / "tiny.yaml"
        path.write_text(
            yaml.safe_dump(copy.deepcopy(TINY) | {"data": data} | changes, sort_keys=False)
        )
        return "tiny.yaml"

    return write
