"""Tests for detcon.downstream.recipe: settings of tasks, and recipes that had them at the top."""

import subprocess
import sys

import pytest

from detcon.config import RecipeError, load_recipe, recorded, to_yaml
from detcon.downstream.recipe import KINDS, GridRecipe, ProbingRecipe, TransferRecipe

GIVEN = {"backbone": "b", "data": "d", "out": "o"}
FLAT = {  # as version 0.1 recorded every transfer
    "crop": 64, "scale": [0.5, 2.0], "flip": 0.5, "ignore": 11, "num_classes": 11,
    "head_channels": 32, "dilation": 1, "detector": {"anchor": 4.0, "channels": 16},
    "probe": {"weight_decay": 0.1, "iterations": 7, "fineness": 1},
    "knn": {"k": 3, "temperature": 0.1, "bank": 50}, "centre": {"shorter": 40, "side": 32},
    "depth": {"head": "deconvolution", "widths": [8], "loss": "l1", "place": "centre"},
    "batch_size": 4, "steps": 9, "optimizer": {"kind": "sgd", "lr": 0.3},
    "schedule": {"kind": "cosine", "warmup": 0.0},
}  # fmt: skip


def load(**given):
    return load_recipe(GridRecipe, None, GIVEN | given)


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"own"}))
def test_flat_recipes_on_disk_are_read_for_every_task(kind):
    saved = {**GIVEN, **FLAT, "task": kind, "stride": 8}
    settings = recorded(TransferRecipe, saved)
    own = settings.task.model_dump()
    assert own["kind"] == kind and settings.stride == 8
    unpacked = FLAT | FLAT["probe"] | FLAT["knn"] | FLAT["depth"]
    for name in own.keys() - {
        "kind",
        "detector",
        "optimizer",
        "schedule",
        "colour",
        "unit",
        "drop_path",
    }:
        given = unpacked[name]
        assert own[name] == (tuple(given) if isinstance(given, list) else given)
    assert recorded(TransferRecipe, settings.model_dump(mode="json")) == settings


def test_flat_probings_on_disk_are_read():
    saved = {"every": 5, "data": "d", "task": "knn_segmentation", "knn": {"k": 3}, "ignore": None}
    assert recorded(ProbingRecipe, saved).task.k == 3


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"own"}))
def test_a_recipe_holds_the_settings_of_its_task_alone(kind):
    lines = to_yaml(load(task=kind))
    assert ("crop" in lines) == (kind in ("segmentation", "detection", "depth"))
    assert ("anchor" in lines) == (kind == "detection") and ("\n  k:" in lines) == ("knn" in kind)
    assert ("optimizer" in lines) == ("steps" in lines) == ("crop" in lines)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"crop": 64}, "'crop' is a setting of the task now: give task.crop=64"),
        ({"task": "depth", "depth.widths": [8, 4]}, "give task.widths=8,4"),
        ({"task": "detection", "detector.anchor": 4}, "give task.detector.anchor=4"),
        (
            {"steps": 3, "optimizer.lr": 0.1},
            "'steps', 'optimizer.lr' are settings of the task now: give task.steps=3 "
            "task.optimizer.lr=0.1",
        ),
        (
            {"task": "knn_segmentation", "crop": 64},
            "'crop' is a setting of the task now: leave out crop, which knn_segmentation doesn't "
            "have",
        ),
        (
            {"task": "knn_segmentation", "task.crop": 64},
            "there is no setting 'task.crop'; known: task.bank, task.ignore, task.k",
        ),
    ],
)
def test_flat_settings_are_refused_with_their_new_place(given, message):
    with pytest.raises(RecipeError) as caught:
        load(**given)
    assert message in str(caught.value)


def test_a_word_is_a_task_with_its_defaults():
    assert load(task="depth", **{"task.optimizer.lr": 0.5}).task.optimizer.lr == 0.5
    assert load(task="depth") == load(task={"kind": "depth"}) == load(**{"task.kind": "depth"})


def test_recipes_load_no_torch():
    code = "import sys, detcon.downstream.recipe; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
