"""Tests for detcon.models.backbone_file."""

import pickle

import pytest
import torch
import torchvision

from detcon.models.backbone_file import (
    BackboneError,
    Normalisation,
    load_backbone,
    save_backbone,
)
from detcon.models.encoders import EncoderRecipe, build_encoder

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
    state = torchvision.models.resnet18().state_dict()
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save(state, path)
    else:
        from safetensors.torch import save_file

        save_file(state, path)
    backbone = load_backbone(path, encoder=EncoderRecipe(name="resnet18"))
    assert torch.equal(backbone.encoder.conv1.weight, state["conv1.weight"])
    with pytest.raises(BackboneError, match="doesn't say its architecture; give encoder.name="):
        load_backbone(path)


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


@pytest.mark.parametrize("content", [b"", b"not a file of weights", pickle.dumps(print)])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_hostile_and_damaged_files_get_a_sentence(tmp_path, content, suffix):
    path = tmp_path / f"w.{suffix}"
    path.write_bytes(content)
    with pytest.raises(BackboneError, match=rf"w\.{suffix} (holds no plain|is damaged)"):
        load_backbone(path, encoder=SMALL)
