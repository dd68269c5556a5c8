"""Tests for weights to start from: what is taken, what is fresh, what keeps them good."""

import cv2
import pytest
import timm
import torch
from safetensors.torch import save_file

from detcon.config import RecipeError, load_recipe
from detcon.masks.store.fill import make_masks
from detcon.models.backbone_file import BackboneError, load_backbone, save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.layers import layer_numbers
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.photos import open_photos
from detcon.pretraining.parts import open_parts
from detcon.pretraining.recipe import PretrainRecipe
from detcon.pretraining.start import open_start
from detcon.pretraining.training import pretrain
from detcon.results import RunError
from detcon.scenes.raycast import render_scene
from detcon.train.optim import build_optimizer
from detcon.train.recipe import AdamW, Lars
from detcon.train.steps import Steps

SOURCE = EncoderRecipe(name="resnet18", width=0.125, stride=32)
NORMALISATION = Normalisation(mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.3))
SETTINGS = {
    "views": {"size": 32},
    "optimizer": {"kind": "adamw", "lr": 1e-2},
    "batch_size": 4,
    "steps": 2,
    "workers": 0,
    "loop": {"log_every": 1, "checkpoint_every": 1, "precision": "32"},
}
HEAD = {"hidden": 32, "outputs": 16}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir()
    for i in range(8):
        scene = render_scene(seed=1, index=i, size=64)
        cv2.imwrite(str(folder / f"images/{i}.png"), scene.rgb)
    generator = {"kind": "grid", "rows": 3, "columns": 3}
    make_masks(images=folder / "images", out=folder / "masks", generator=generator, workers=1)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Weights whose batch norms have seen something: their statistics aren't fresh."""
    torch.manual_seed(3)
    encoder = build_encoder(SOURCE)
    encoder(torch.randn(4, 3, 64, 64))
    path = tmp_path_factory.mktemp("source") / "backbone.safetensors"
    save_backbone(path, encoder, SOURCE, normalisation=NORMALISATION, notes={"by": "a test"})
    return path


def settings_of(data, out, source, **changed):
    given = {"images": data / "images", "masks": data / "masks", "out": out, "weights": source}
    given["method"] = {"kind": "detcon_s", **HEAD}
    return {**SETTINGS, **given, **changed}


def run(*args, **changed):
    return pretrain(None, **settings_of(*args, **changed))


def features(path, stride=None):
    torch.manual_seed(0)
    photos = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        return load_backbone(path, stride=stride).encoder.eval()(photos)


@pytest.mark.parametrize("kind", ["detcon_s", "detcon_b", "simclr", "byol", "region_byol"])
def test_zero_steps_give_back_the_features_bit_for_bit(kind, data, source, tmp_path):
    backbone = run(data, tmp_path / "run", source, steps=0, method={"kind": kind, **HEAD})
    assert torch.equal(features(backbone), features(source))
    assert load_backbone(backbone).normalisation == NORMALISATION
    assert load_backbone(backbone).notes["weights"] == str(source)


def test_warm_heads_leave_the_encoder_alone_and_then_it_learns(data, source, tmp_path):
    warm = run(data, tmp_path / "warm", source, warm_heads=2, freeze_norms=True)
    assert torch.equal(features(warm), features(source))
    trained = run(data, tmp_path / "trained", source, warm_heads=1, freeze_norms=True)
    assert not torch.equal(features(trained), features(source))


def test_weights_are_kept_with_care_unless_asked_otherwise():
    """The defaults that `studies/photos_adapt_sweep.yaml` found, with AdamW alone."""

    def care(recipe="detcon_s_small", **given):
        places = {"images": "photos", "masks": "masks", "out": "run"}
        settings = load_recipe(PretrainRecipe, recipe, {**places, **given})
        return settings.freeze_norms, settings.optimizer.encoder_lr

    assert care() == (False, None)
    assert care(weights="w") == (True, 1e-4) == care("adapt", weights="w")
    assert care(weights="w", **{"optimizer.lr": 1e-5}) == (True, 1e-5), "never above the heads'"
    assert care(weights="w", freeze_norms=False) == (False, None), "low rates spoil these"
    assert care(weights="w", **{"optimizer.encoder_lr": 1e-3}) == (True, 1e-3)
    assert care("detcon_s_r50_one_gpu", weights="w") == (False, None), "LARS wasn't measured"


def test_frozen_norms_keep_the_statistics_and_others_move(data, source, tmp_path):
    frozen = load_backbone(run(data, tmp_path / "frozen", source))
    moving = load_backbone(run(data, tmp_path / "moving", source, freeze_norms=False))
    before = load_backbone(source).encoder.bn1.running_mean
    assert torch.equal(frozen.encoder.bn1.running_mean, before)
    assert not torch.equal(moving.encoder.bn1.running_mean, before)


def test_the_target_starts_from_the_same_weights(data, source, tmp_path):
    given = settings_of(data, tmp_path, str(source), method={"kind": "detcon_b", **HEAD})
    settings, start = open_start(load_recipe(PretrainRecipe, None, given))
    method = open_parts(settings, tmp_path, open_photos(data / "images"), start.encoder).method
    assert torch.equal(method.target.encoder.conv1.weight, method.encoder.conv1.weight)
    heads = [next(tower.projector.parameters()) for tower in (method.online, method.target)]
    assert not torch.equal(*heads), "the heads are fresh, each its own"


@pytest.mark.parametrize(
    ("given", "stride", "others"),
    [
        ({}, 32, "name=resnet50 encoder.width=1.0"),
        ({"encoder": {"stride": 16}}, 16, "name=resnet50 encoder.width=1.0"),
        ({"encoder": {"name": "resnet18", "width": 0.5}}, 32, "width=0.5"),
    ],
)
def test_the_architecture_is_that_of_the_weights_but_for_a_stride(
    given, stride, others, data, source, tmp_path, capsys
):
    backbone = run(data, tmp_path / "run", source, steps=0, **given)
    recipe = load_backbone(backbone).recipe
    assert (recipe.name, recipe.width, recipe.stride) == ("resnet18", 0.125, stride)
    said = capsys.readouterr().err
    assert f"starting from {source}: resnet18 of width 0.125 and stride {stride}" in said
    assert f"stride {stride}, as the weights say, in place of encoder.{others}; " in said


def test_an_interrupted_run_goes_on_bit_for_bit(data, source, tmp_path, monkeypatch):
    options = {"anchor": 0.5, "optimizer": {"kind": "adamw", "lr": 1e-2, "layer_decay": 0.5}}
    whole = run(data, tmp_path / "whole", source, steps=4, **options)
    update = Steps.update

    def stop_at_two(self, batch):
        if self.training.step == 2:
            raise KeyboardInterrupt
        return update(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "update", stop_at_two)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "parts", source, steps=4, **options)
    parts = run(data, tmp_path / "parts", source, steps=4, **options)
    assert torch.equal(features(whole), features(parts))


def test_an_anchor_keeps_the_weights_closer(data, source, tmp_path):
    fast = {"steps": 4, "freeze_norms": False}  # lr 1e-2: half of the way back at each step

    def moved(**options):
        backbone = load_backbone(run(data, tmp_path / f"{options}", source, **fast, **options))
        start = load_backbone(source).encoder.conv1.weight
        return float((backbone.encoder.conv1.weight - start).norm().detach())

    free, held = moved(), moved(anchor=50.0)
    assert 0 < held < 0.7 * free


def test_weights_changed_under_their_path_are_noticed(data, source, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(source.read_bytes())
    run(data, tmp_path / "run", copy)
    assert run(data, tmp_path / "run", copy).is_file(), "finished, and left as it is"
    encoder = build_encoder(SOURCE)
    save_backbone(copy, encoder, SOURCE, normalisation=NORMALISATION)
    with pytest.raises(RunError, match=r"weights\.digest is \w+ there and \w+ now"):
        run(data, tmp_path / "run", copy)
    with pytest.raises(RecipeError, match=r"have the digest \w+, not abc"):
        run(data, tmp_path / "other", {"source": str(source), "digest": "abc"})


def test_a_finished_run_does_without_its_weights(data, source, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(source.read_bytes())
    backbone = run(data, tmp_path / "run", copy)
    copy.unlink()
    assert run(data, tmp_path / "run", copy) == backbone
    with pytest.raises(RunError, match="steps is 2 there and 3 now"):
        run(data, tmp_path / "run", copy, steps=3)
    with pytest.raises(BackboneError, match="there is no backbone"):
        run(data, tmp_path / "other", copy)


def test_tensors_without_a_place_are_an_error_unless_a_part_is_enough(
    data, source, tmp_path, capsys
):
    tensors = load_backbone(source).encoder.state_dict()
    del tensors["layer4.1.conv2.weight"]
    checkpoint = tmp_path / "checkpoint.safetensors"
    save_file(tensors, checkpoint)
    with pytest.raises(BackboneError, match=r"lacks 1 of its tensors.*weights\.partial=true"):
        run(data, tmp_path / "run", checkpoint)
    backbone = run(data, tmp_path / "run", {"source": str(checkpoint), "partial": True}, steps=0)
    assert "1 (layer4.1.conv2.weight) missing" in capsys.readouterr().err
    assert torch.equal(features(backbone)[:, :0], features(source)[:, :0])
    assert not torch.equal(features(backbone), features(source))


def test_a_missing_source_is_named(data, tmp_path):
    with pytest.raises(BackboneError, match="there is no backbone nowhere"):
        run(data, tmp_path / "run", "nowhere.safetensors")


def test_a_start_has_settings_of_its_own(data, tmp_path):
    for given in ({"anchor": 0.1}, {"freeze_norms": True}):
        with pytest.raises(RecipeError, match=f"{next(iter(given))} is about weights"):
            run(data, tmp_path, None, **given)
    with pytest.raises(RecipeError, match="steps=0 would train nothing"):
        run(data, tmp_path, None, steps=0)


@pytest.mark.parametrize("bands", ["fresh", "mean"])
def test_photos_of_other_channels_than_the_weights(bands, source):
    whole = load_backbone(source)
    torch.manual_seed(0)
    other = load_backbone(source, in_channels=5, bands=bands)
    assert other.recipe.in_channels == 5 and len(other.normalisation.mean) == 5
    assert other.match.fresh == (("conv1.weight",) if bands == "fresh" else ())
    assert torch.equal(other.encoder.layer1[0].conv1.weight, whole.encoder.layer1[0].conv1.weight)
    if bands == "mean":
        grey = torch.randn(1, 1, 64, 64)
        with torch.no_grad():
            a = whole.encoder.eval()(grey.expand(-1, 3, -1, -1))
            b = other.encoder.eval()(grey.expand(-1, 5, -1, -1))
        assert torch.allclose(a, b, atol=1e-5)


def test_a_timm_checkpoint_is_started_from_by_its_name(data, tmp_path):
    torch.manual_seed(1)
    model = timm.create_model("mobilenetv3_small_050", num_classes=7)
    checkpoint = tmp_path / "model.safetensors"
    save_file(model.state_dict(), checkpoint)
    backbone = run(
        data, tmp_path / "run", checkpoint, steps=0, encoder={"name": "mobilenetv3_small_050"}
    )
    got = load_backbone(backbone).encoder.body.state_dict()
    assert torch.equal(got["conv_stem.weight"], model.conv_stem.weight)


RATES = [
    ("resnet18", {}, 4),
    ("vit_tiny_patch16_224", {}, 12),
    ("vit_tiny_patch16_dinov3_qkvb", {}, 12),
    ("convnext_atto", {}, 4),
]


@pytest.mark.parametrize(("name", "options", "num_layers"), RATES)
def test_rates_fall_from_the_head_to_the_stem(name, options, num_layers):
    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = build_encoder(EncoderRecipe(name=name, **options))
            self.head = torch.nn.Linear(3, 3)

    whole = Whole()
    numbers = layer_numbers(whole.encoder)
    assert set(numbers.values()) == set(range(num_layers + 1))
    recipe = AdamW(lr=1e-2, encoder_lr=1e-3, layer_decay=0.5)
    groups = build_optimizer(recipe, whole, 256).param_groups
    scale = {p: group["scale"] for group in groups for p in group["params"]}
    assert scale[whole.head.weight] == scale[whole.head.bias] == 1.0
    for parameter_name, parameter in whole.encoder.named_parameters():
        expected = 0.1 * 0.5 ** (num_layers + 1 - numbers[parameter_name])
        assert scale[parameter] == pytest.approx(expected)


def test_without_rates_of_its_own_the_encoder_shares_two_groups():
    whole = build_encoder(SOURCE)
    assert len(build_optimizer(Lars(lr=0.1), whole, 256).param_groups) == 2
