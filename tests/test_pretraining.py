"""Tests for detcon.pretraining: a folder of photos becomes a backbone, whatever happens between."""

import math

import cv2
import numpy as np
import pytest
from safetensors.torch import load_file

from detcon.config import RecipeError, load_recipe
from detcon.data.loader import batches
from detcon.data.recipe import DETCON_B_COLOUR, DETCON_S_COLOUR
from detcon.masks.sources import Grid
from detcon.masks.store.fill import make_masks
from detcon.models.backbone_file import load_backbone
from detcon.models.encoders import build_encoder, feature_grid
from detcon.models.recipe import EncoderRecipe
from detcon.ops.schedules import ema_rate
from detcon.photos import open_photos
from detcon.pretraining.parts import build_method, open_views
from detcon.pretraining.recipe import PretrainRecipe
from detcon.pretraining.training import pretrain
from detcon.results.history import read_history
from detcon.scenes.raycast import render_scene


class Interrupted(Exception):
    """Stands for whatever ends a run."""


TINY = {
    "encoder": {"name": "resnet18", "width": 0.125, "stride": 16},
    "views": {"size": 32},
    "optimizer": {"kind": "adamw", "lr": 1e-3},
    "batch_size": 8,
    "steps": 6,
    "workers": 0,
    "loop": {"log_every": 2, "checkpoint_every": 3, "precision": "32"},
}
HEAD = {"hidden": 32, "outputs": 16}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for i in range(16):
        path = folder / "images" / ("cat" if i % 2 else "dog") / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        scene = render_scene(seed=1, index=i, size=64)
        cv2.imwrite(str(path), cv2.cvtColor(scene.rgb, cv2.COLOR_RGB2BGR))
    make_masks(
        images=folder / "images", out=folder / "masks", generator=vars_of(Grid(3)), workers=1
    )
    return folder


def vars_of(generator):
    return {name: getattr(generator, name) for name in ("kind", "rows", "columns")}


def run(data, out, **overrides):
    settings = {**TINY, "images": data / "images", "masks": data / "masks", "out": out}
    return pretrain(None, **{**settings, **overrides})


KINDS = ["detcon_s", "detcon_b", "simclr", "byol", "region_byol", "supervised"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_method_leaves_a_whole_run_folder(kind, data, tmp_path):
    method = {"kind": kind} if kind == "supervised" else {"kind": kind, **HEAD}
    backbone = run(data, tmp_path / "run", method=method)
    names = {path.name for path in backbone.parent.iterdir()}
    assert names >= {"recipe.yaml", "environment.json", "metrics.jsonl", "backbone.safetensors"}
    loaded = load_backbone(backbone)
    assert loaded.recipe.name == "resnet18" and loaded.notes["method"] == kind
    fresh = build_encoder(loaded.recipe).state_dict()
    assert set(load_file(backbone)) == set(fresh), "torchvision's key names, and nothing else"
    again = load_recipe(PretrainRecipe, backbone.parent / "recipe.yaml")
    assert again.method.kind == kind, "the saved recipe is complete and can be given again"


DROPPED = {"encoder": {"name": "test_vit", "drop_path": 0.5}}


@pytest.mark.parametrize(("workers", "network"), [(0, {}), (2, {}), (0, DROPPED)])
def test_six_steps_are_three_and_a_resume_and_three(workers, network, data, tmp_path, monkeypatch):
    method = {"kind": "detcon_b", **HEAD}
    options = {"method": method, "steps": 6, "workers": workers, **network}
    whole = run(data, tmp_path / "whole", **options)

    def stop_at_three(step, *, total, base):
        if step == 3:
            raise Interrupted
        return ema_rate(step, total=total, base=base)

    loop = {**TINY["loop"], "checkpoint_every": 3}
    with monkeypatch.context() as patch:
        patch.setattr("detcon.pretraining.training.ema_rate", stop_at_three)
        with pytest.raises(Interrupted):
            run(data, tmp_path / "cut", **options, loop=loop)
    assert not (tmp_path / "cut" / "backbone.safetensors").exists()
    cut = run(data, tmp_path / "cut", **options, loop=loop)
    assert whole.read_bytes() == cut.read_bytes()


def test_a_finished_run_is_left_alone(data, tmp_path):
    backbone = run(data, tmp_path / "run", method={"kind": "simclr", **HEAD}, steps=2)
    before = backbone.stat().st_mtime_ns
    assert run(data, tmp_path / "run", method={"kind": "simclr", **HEAD}, steps=2) == backbone
    assert backbone.stat().st_mtime_ns == before


def test_regions_find_their_masks(tmp_path):
    """After 60 steps the nearest candidate of over 40 % of the regions is the right mask.

    Candidates are all regions of all 32 photos in the other view; before the first step it is right
    for 7 to 16 %. True masks would make it easier; these are computed from the pixels.
    """
    for i in range(32):
        picture = cv2.cvtColor(render_scene(seed=5, index=i, size=48).rgb, cv2.COLOR_RGB2BGR)
        (tmp_path / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "images" / f"{i:02}.png"), picture)
    generator = {"kind": "felzenszwalb", "scale": 60.0, "min_size": 60}
    make_masks(images=tmp_path / "images", out=tmp_path / "masks", generator=generator, workers=1)
    settings = {
        **TINY,
        "images": tmp_path / "images",
        "masks": tmp_path / "masks",
        "out": tmp_path / "run",
        "views": {"size": 32, "area": (0.5, 1.0), "colour": "none"},
        "encoder": {"name": "resnet18", "width": 0.25, "stride": 8},
        "method": {"kind": "detcon_s", "hidden": 128, "outputs": 64, "num_regions": 8},
        "batch_size": 32,
        "steps": 60,
        "optimizer": {"kind": "adamw", "lr": 3e-3},
        "loop": {"log_every": 5, "precision": "32"},
    }
    pretrain(None, **settings)
    shares = [row["accuracy"] for row in read_history(tmp_path / "run").rows]
    assert shares[0] < 0.2 and np.mean(shares[-4:]) > 0.4


def test_methods_bring_their_own_colours():
    paths = {"images": "i", "out": "o"}
    for kind, colour in (("detcon_b", DETCON_B_COLOUR), ("simclr", DETCON_S_COLOUR)):
        recipe = load_recipe(PretrainRecipe, None, {**paths, "method.kind": kind})
        assert recipe.views.colour == colour
    asked = load_recipe(PretrainRecipe, None, {**paths, "views.colour": "detcon_b"})
    assert asked.views.colour == DETCON_B_COLOUR


def test_the_same_photos_and_cuts_for_all_methods(data):
    """Methods that are compared must differ in nothing but the method."""

    encoder = build_encoder(EncoderRecipe(**TINY["encoder"]))
    photos = open_photos(data / "images")
    samples = []
    for kind in ("detcon_s", "simclr"):
        paths = {"images": data / "images", "masks": data / "masks", "out": "o"}
        recipe = load_recipe(PretrainRecipe, None, {**TINY, **paths, "method": {"kind": kind}})
        samples.append(open_views(recipe, photos, feature_grid(encoder, recipe.views.size))[0, 3])
    assert np.array_equal(samples[0].images, samples[1].images)
    assert np.array_equal(samples[0].colour, samples[1].colour)


def test_says_what_is_missing(data, tmp_path):
    with pytest.raises(RecipeError, match="detcon_s needs masks; make them with 'detcon masks"):
        run(data, tmp_path / "a", masks=None)
    with pytest.raises(ValueError, match="cannot make a batch of 64 from 16 photos"):
        run(data, tmp_path / "b", method={"kind": "detcon_s", **HEAD}, batch_size=64)
    with pytest.raises(
        ValueError, match="no setting 'method.temprature'; did you mean 'method.temp"
    ):
        run(data, tmp_path / "c", method={"kind": "detcon_s", "temprature": 1})


def test_says_how_many_masks_a_view_shows(data, tmp_path, capsys):
    """In a single cell the mask that covers most of it wins, and no other is told from it."""
    coarse = {**TINY["encoder"], "stride": 32}
    run(data, tmp_path / "coarse", encoder=coarse, steps=1)
    assert (
        "a view of 32 px has 1 x 1 cells and shows 1.0 masks on average (of 16 photos); 32 of 32 "
        "views show one or none, in which no region is told from another: give encoder.stride=16, "
        "or a larger views.size=\n"
    ) in capsys.readouterr().err
    run(data, tmp_path / "finer", views={"size": 64}, steps=1)
    said = capsys.readouterr().err
    assert "a view of 64 px has 4 x 4 cells and shows " in said and "or none" not in said


def test_classes_are_folders_or_a_table(data, tmp_path):
    table = tmp_path / "classes.csv"
    table.write_text("path,class\n" + "".join(f"x{i}.png,{i % 2}\n" for i in range(2)))
    supervised = {"kind": "supervised", "classes": str(table)}
    with pytest.raises(
        ValueError, match="photos have no class: cat/01.png has none in .*; add a line"
    ):
        run(data, tmp_path / "a", method=supervised)
    said = r"cannot read classes from 'guess'; give method\.classes=folders, or a CSV with the colu"
    with pytest.raises(ValueError, match=said):
        run(data, tmp_path / "b", method={"kind": "supervised", "classes": "guess"})
    with pytest.raises(
        ValueError, match="01.png lies in no folder; .* or give method.classes=FILE"
    ):
        run(data, tmp_path / "c", images=data / "images" / "cat", method={"kind": "supervised"})


def test_passes_and_groups_of_negatives(data, tmp_path):
    method = {"kind": "detcon_s", **HEAD}
    with pytest.raises(RecipeError, match=r"negatives can't come from all .* method.negatives=1/4"):
        run(data, tmp_path / "a", method=method, accumulate=4)
    with pytest.raises(RecipeError, match=r"batch_size=8 can't be cut into 3 equal parts, as the"):
        run(data, tmp_path / "a", method={**method, "negatives": "1/3"})
    with pytest.raises(RecipeError, match=r"batch_size=8 .* 5 equal parts, as accumulate asks"):
        run(data, tmp_path / "a", method={"kind": "byol", **HEAD}, accumulate=5)
    with pytest.raises(RecipeError, match="method.*negatives"):
        run(data, tmp_path / "a", method={**method, "negatives": "1/0"})
    assert not (tmp_path / "a").exists()
    run(data, tmp_path / "a", method={**method, "negatives": "1/4"}, accumulate=2, steps=2)
    assert read_history(tmp_path / "a").rows[-1]["step"] == 2


@pytest.mark.parametrize("kind", ["detcon_s", "detcon_b"])
@pytest.mark.parametrize("views", [{"second": "repeat"}, {"second": "halves"}, {"absent": True}])
def test_single_views_and_absent_masks_train(kind, views, data, tmp_path):
    """A step of each, and a gradient that reaches the whole network."""
    settings = {**TINY, "views": {**TINY["views"], **views}, "method": {"kind": kind, **HEAD}}
    run(data, tmp_path / "a", **{**settings, "steps": 1})
    assert math.isfinite(read_history(tmp_path / "a").rows[-1]["loss"])

    where = {"images": str(data / "images"), "masks": str(data / "masks"), "out": "out"}
    recipe = load_recipe(PretrainRecipe, None, {**settings, **where})
    encoder = build_encoder(recipe.encoder)
    method = build_method(recipe, encoder)
    assert method.objective.own_view == (recipe.views.second == "own")
    dataset = open_views(
        recipe, open_photos(where["images"]), feature_grid(encoder, recipe.views.size)
    )
    [batch] = batches(dataset, batch_size=8, seed=0, first_step=0, num_steps=1, workers=0)
    loss, _ = method(batch)
    loss.backward()
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    assert encoder.conv1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["simclr", "byol", "supervised"])
def test_what_has_no_masks_has_neither_single_views_nor_absent_masks(kind, data, tmp_path):
    others = "detcon_s, detcon_b, region_byol or region_distillation, or leave views.second=own"
    sentence = f"views.second=repeat is about masks, and {kind} has none; give method.kind={others}"
    with pytest.raises(RecipeError, match=sentence):
        run(data, tmp_path / "a", method={"kind": kind}, views={"second": "repeat"})
    with pytest.raises(RecipeError, match="views.absent=true .* or leave views.absent=false"):
        run(data, tmp_path / "a", method={"kind": kind}, views={"absent": True})
