"""Every recipe of pretraining: what its header says, and what it is in full.

python tests/test_pretrain_recipes.py     # writes the snapshots anew, when a change is meant
"""

import json
import math
import sys
from pathlib import Path

import pytest

from detcon.config import load_recipe, shipped_recipes, to_yaml
from detcon.data.recipe import COLOUR_PRESETS
from detcon.methods.recipe import WithMasks
from detcon.models.encoders import build_encoder
from detcon.pretraining.recipe import PretrainRecipe

RECIPES = sorted((shipped_recipes() / "pretrain").glob("*.yaml"))
SNAPSHOTS = Path(__file__).parent / "snapshots" / "pretrain"
ONE_STEP = Path(__file__).parents[1] / "benchmarks" / "results" / "one_step.json"
LARGE = [path for path in RECIPES if "_r" in path.stem]
PATHS = {"images": "IMAGES", "masks": "MASKS", "out": "OUT"}


def settings_of(name):
    return load_recipe(PretrainRecipe, shipped_recipes() / "pretrain" / f"{name}.yaml", PATHS)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_complete_recipe_is_as_before(path):
    """So that a change of a default can't change a recipe unseen."""
    snapshot = SNAPSHOTS / path.name
    assert snapshot.is_file(), f"write {snapshot} with: python {Path(__file__).name}"
    assert to_yaml(settings_of(path.stem)) == snapshot.read_text()


def test_no_snapshot_is_left_of_a_recipe_that_is_gone():
    assert {path.name for path in SNAPSHOTS.iterdir()} == {path.name for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_headers_name_command_cost_and_sources(path):
    header = path.read_text().split("\n\n")[0]
    assert f"detcon pretrain recipes/pretrain/{path.name} " in header
    if path.stem.startswith("demo_"):
        return
    assert "Cost:" in header and "Expect:" in header
    assert ("masks=" in header) == isinstance(settings_of(path.stem).method, WithMasks)
    if path in LARGE:
        assert "Sources:" in header and "Data:" in header
        assert "Not run" in header, "take this line out with the first figure of ours"


@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_file_names_say_what_is_in_them(path):
    settings, words = settings_of(path.stem), path.stem.split("_")
    assert path.stem.startswith(settings.method.kind)
    network = next(word for word in words if word[0] == "r" and word[1:2].isdigit())
    depth, _, width = network[1:].partition("x")
    assert (settings.encoder.name, settings.encoder.width) == (f"resnet{depth}", float(width or 1))
    assert settings.views.size == (384 if "384" in words else 224)
    plain = settings.method.kind in ("simclr", "detcon_s")
    assert settings.views.colour == COLOUR_PRESETS["detcon_s" if plain else "detcon_b"]


@pytest.mark.parametrize(
    ("kind", "preset"),
    {
        "detcon_s": "detcon_s",
        "simclr": "detcon_s",
        "detcon_b": "detcon_b",
        "byol": "detcon_b",
        "region_byol": "detcon_b",
        "region_distillation": "detcon_b",
    }.items(),
)
def test_colours_are_the_method_s_whatever_else_is_said_of_views(kind, preset):
    teacher = {"teacher": {"source": "TEACHER"}} if kind == "region_distillation" else {}
    given = {**PATHS, "method": {"kind": kind, **teacher}, "views.size": 96}
    assert load_recipe(PretrainRecipe, None, given).views.colour == COLOUR_PRESETS[preset]
    given["views.colour"] = "none"
    assert load_recipe(PretrainRecipe, None, given).views.colour == COLOUR_PRESETS["none"]
    made = PretrainRecipe(images="a", out="b", method=given["method"], views={"size": 96})
    assert made.views.colour == COLOUR_PRESETS[preset]


@pytest.mark.parametrize(
    ("name", "epochs", "steps"),
    [("detcon_b_r50_in1k", 1000, 312_000), ("detcon_b_r50_in1k_300", 300, 93_600)],
)
def test_the_settings_of_the_official_code(name, epochs, steps):
    settings = settings_of(name)
    lars = {"kind": "lars", "momentum": 0.9, "trust": 1e-3, "scale_lr": True}
    lars |= {"encoder_lr": None, "layer_decay": None}
    lars |= {"lr": 0.2, "weight_decay": 1.5e-6} if epochs == 1000 else {}
    lars |= {"lr": 0.3, "weight_decay": 1e-6} if epochs == 300 else {}
    assert settings.optimizer.model_dump() == lars
    assert settings.method.model_dump() == {
        "kind": "detcon_b",
        "num_regions": 16,
        "temperature": 0.1,
        "local_negatives": True,
        "negatives": "all",
        "hidden": 4096,
        "outputs": 256,
        "ema": 0.996 if epochs == 1000 else 0.99,
    }
    assert (settings.epochs, settings.steps, settings.batch_size) == (epochs, None, 4096)
    assert 1_281_167 // settings.batch_size * settings.epochs == steps
    assert settings.schedule.warmup == 0.01 and settings.views.resize == "official"


@pytest.mark.parametrize(
    ("name", "millions"), [("r50", 24), ("r101", 43), ("r152", 58), ("r200", 63), ("r200x2", 250)]
)
def test_networks_have_the_sizes_that_byol_lists(name, millions):
    import torch

    with torch.device("meta"):
        encoder = build_encoder(settings_of(f"detcon_b_{name}_in1k").encoder)
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(millions, abs=1)


@pytest.mark.skipif(not ONE_STEP.is_file(), reason="the benchmarks aren't part of a source package")
def test_one_update_of_each_recipe_was_made():
    """With a new recipe comes a line of: python benchmarks/one_step.py NAME."""
    figures = json.loads(ONE_STEP.read_text())["figures"]
    assert set(figures) == {path.stem for path in RECIPES}
    for name, row in figures.items():
        assert row["pixels"] == settings_of(name).views.size and math.isfinite(row["loss"])


def write_snapshots():
    SNAPSHOTS.mkdir(parents=True, exist_ok=True)
    for path in SNAPSHOTS.iterdir():
        path.unlink()
    for path in RECIPES:
        (SNAPSHOTS / path.name).write_text(to_yaml(settings_of(path.stem)))
    print(f"wrote {len(RECIPES)} files into {SNAPSHOTS}")


if __name__ == "__main__":
    sys.exit(write_snapshots())
