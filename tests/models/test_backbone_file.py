"""Tests for detcon.models.backbone_file."""

import pickle

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from detcon.models.backbone_file import BackboneError, Normalisation, load_backbone, save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe
from detcon.models.sources import MODEL_ENTRY
from detcon.train.checkpoint import Checkpoint, save_checkpoint

SMALL = EncoderRecipe(name="resnet18", width=0.125, stride=16)


@pytest.fixture
def saved(tmp_path):
    encoder = build_encoder(SMALL)
    normalisation = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    path = tmp_path / "backbone.safetensors"
    save_backbone(path, encoder, SMALL, normalisation=normalisation, notes={"steps": 7})
    return path, encoder


def test_round_trip(saved):
    path, encoder = saved
    backbone = load_backbone(path)
    assert backbone.recipe == SMALL and backbone.notes == {"steps": 7}
    assert backbone.normalisation.mean == (0.5, 0.5, 0.5)
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(backbone.encoder.eval()(x), encoder.eval()(x))
    assert [p.name for p in path.parent.iterdir()] == [path.name], "nothing is left beside"


def test_another_stride_keeps_the_weights(saved):
    path, encoder = saved
    finer = load_backbone(path, stride=8)
    assert finer.recipe.stride == 8
    assert torch.equal(finer.encoder.conv1.weight, encoder.conv1.weight)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_plain_torchvision_names(tmp_path, suffix):
    """The classifier of a thousand classes is left aside."""
    state = torchvision.models.resnet18().state_dict()
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    backbone = load_backbone(path, encoder=EncoderRecipe(name="resnet18"))
    assert torch.equal(backbone.encoder.conv1.weight, state["conv1.weight"])
    read = load_backbone(path)
    assert read.recipe == backbone.recipe, "the architecture is in the shapes"
    assert read.match.is_full and sorted(read.match.aside) == ["fc.bias", "fc.weight"]


def test_torchvisions_own_weights_from_its_cache(tmp_path, monkeypatch):
    """The cache holds a file of the true name and format, so nothing is downloaded."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = torchvision.models.get_model_weights("resnet18").DEFAULT
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    state = torchvision.models.resnet18().state_dict()
    torch.save(state, tmp_path / "hub" / "checkpoints" / weights.url.rpartition("/")[2])
    backbone = load_backbone("torchvision:resnet18")
    assert torch.equal(backbone.encoder.conv1.weight, state["conv1.weight"])


def test_random_weights_follow_the_seed():
    torch.manual_seed(3)
    one = load_backbone("random", encoder=SMALL).encoder.conv1.weight
    torch.manual_seed(3)
    assert torch.equal(load_backbone("random", encoder=SMALL).encoder.conv1.weight, one)


def test_timm_models_keep_timms_names(tmp_path):
    recipe = EncoderRecipe(name="convnext_atto")
    encoder = build_encoder(recipe)
    path = tmp_path / "backbone.safetensors"
    save_backbone(path, encoder, recipe, normalisation=Normalisation())
    assert not any(n.startswith("body.") for n in load_backbone(path).encoder.body.state_dict())
    assert load_backbone(path, stride=16).recipe == recipe, "a timm model keeps its own stride"


def test_says_what_does_not_fit(saved, tmp_path):
    path, _ = saved
    with pytest.raises(BackboneError, match=r"there is no backbone nowhere\.pth"):
        load_backbone("nowhere.pth")
    state = load_backbone(path).encoder.state_dict()
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(BackboneError, match="is no resnet50 of width 1: it lacks"):
        load_backbone(tmp_path / "w.pth", encoder=EncoderRecipe(name="resnet50"))
    with pytest.raises(BackboneError, match="has other shapes of .* check encoder.name"):
        load_backbone(tmp_path / "w.pth", encoder=EncoderRecipe(name="resnet18"))
    torch.save({name: torch.zeros(1, 2, 3) for name in state}, tmp_path / "w.pth")
    with pytest.raises(BackboneError, match="check encoder.name and encoder.width$"):
        load_backbone(tmp_path / "w.pth", encoder=EncoderRecipe(name="resnet18"), partial=True)


def test_a_run_that_is_not_finished_is_told_from_a_wrong_path(tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    with pytest.raises(BackboneError, match=r"run is a folder; give a file, as RUN/backbone\.safe"):
        load_backbone(run)
    (run / "recipe.yaml").touch()
    for source in (run, run / "backbone.safetensors"):
        with pytest.raises(BackboneError) as error:
            load_backbone(source)
        said = f"{run} isn't finished (no backbone yet): give its command again"
        assert str(error.value) == said
    with pytest.raises(BackboneError, match=r"there is no backbone .*other\.pth; give a file, as"):
        load_backbone(run / "other.pth")


@pytest.mark.parametrize("content", [b"", b"not a file of weights", pickle.dumps(print)])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_hostile_and_damaged_files_get_a_sentence(tmp_path, content, suffix):
    path = tmp_path / f"w.{suffix}"
    path.write_bytes(content)
    said = rf"w\.{suffix} (is no checkpoint of plain|holds no plain|is damaged)"
    with pytest.raises(BackboneError, match=said):
        load_backbone(path, encoder=SMALL)


def test_timms_own_weights_from_its_cache(tmp_path, monkeypatch):
    """The hub's cache as it is on disk, so nothing is downloaded."""
    config = timm.get_pretrained_cfg("convnext_atto")
    cached = tmp_path / f"models--timm--convnext_atto.{config.tag}"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    whole = timm.create_model("convnext_atto")
    (cached / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(whole.state_dict(), cached / "snapshots" / ("0" * 40) / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("timm:convnext_atto", f"timm:convnext_atto.{config.tag}"):
        backbone = load_backbone(name)
        x = torch.randn(1, 3, 64, 64)
        given = backbone.encoder.eval()(x)
        assert torch.allclose(given, whole.eval().forward_features(x), atol=1e-5)
        assert backbone.normalisation.mean == tuple(config.mean)
    with pytest.raises(BackboneError, match=r"'resnet18' \(.*\); give their file instead, with"):
        load_backbone("timm:resnet18")
    with pytest.raises(
        BackboneError, match="timm has no model 'convnext_atoo'; near: convnext_atto"
    ):
        load_backbone("timm:convnext_atoo")


@pytest.mark.parametrize("name", ["convnext_atto", "efficientnet_lite0", "vit_tiny_patch16_224"])
def test_files_of_whole_timm_models(name, tmp_path):
    """The names of the whole model, below a prefix; what comes after the grid is left aside."""
    whole = timm.create_model(name).state_dict()
    torch.save({"state_dict": {f"module.{n}": t for n, t in whole.items()}}, tmp_path / "w.pth")
    backbone = load_backbone(tmp_path / "w.pth", encoder=EncoderRecipe(name=name))
    assert backbone.match.is_full and backbone.match.prefix == "state_dict.module."
    assert any("head" in n or "classifier" in n for n in backbone.match.aside)
    del whole[next(iter(whole))]
    torch.save(whole, tmp_path / "w.pth")
    with pytest.raises(BackboneError, match="lacks 1 of its tensors"):
        load_backbone(tmp_path / "w.pth", encoder=EncoderRecipe(name=name))
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(BackboneError, match=rf"has none of the names of '{name}'"):
        load_backbone(tmp_path / "w.pth", encoder=EncoderRecipe(name=name))


def test_weights_that_cannot_be_fetched(tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with pytest.raises(BackboneError, match=r"\(no network\); put resnet50-.*\.pth into"):
        load_backbone("torchvision:resnet50")
    with pytest.raises(BackboneError, match="'torchvision:vgg16' is no ResNet of"):
        load_backbone("torchvision:vgg16")
    with pytest.raises(BackboneError, match="torchvision has no weights for 'resnet200'"):
        load_backbone("torchvision:resnet200")


def test_models_and_checkpoints_of_ours_are_no_files_of_others(tmp_path):
    """Their stride, padding and normalisation would be guessed."""
    state = {f"encoder.{name}": t for name, t in build_encoder(SMALL).state_dict().items()}
    save_file(state, tmp_path / "model.safetensors", {MODEL_ENTRY: "{}"})
    with pytest.raises(BackboneError, match=r"is a whole model of .*; give its backbone, .*/backb"):
        load_backbone(tmp_path / "model.safetensors")
    save_checkpoint(tmp_path / "last.ckpt", Checkpoint(1, state, {}, []))
    with pytest.raises(
        BackboneError, match=r"is a checkpoint of a run, .* give the run's backbone"
    ):
        load_backbone(tmp_path / "last.ckpt")
