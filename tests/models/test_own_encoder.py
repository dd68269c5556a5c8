"""Tests for encoder.name=package.module:function: a network of the user's, in and out."""

import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import detcon
from detcon.config import load_recipe
from detcon.downstream.model_file import save_model
from detcon.downstream.recipe import TransferRecipe
from detcon.downstream.task import open_task
from detcon.exporting.recipe import ExportError
from detcon.models.backbone_file import Backbone, save_backbone
from detcon.models.encoders import STRIDES, build_encoder, feature_grid, with_pyramid
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.pretraining.recipe import PretrainRecipe

CODE = """
from torch import nn

CALLS = []

class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 4, 1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 24, 3, 4, 1)

    def forward(self, photos):
        first = self.norm(self.stem(photos)).relu()
        return [first, self.last(first)]

def trunk():
    CALLS.append(1)
    return Trunk()

class Pyramid(nn.Module):
    # four grids in a mapping, as transformers' backbones; one tensor has two names
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.steps = nn.ModuleList(nn.Conv2d(8, 8, 3, 2, 1) for _ in range(3))
        self.tied = self.stem.weight

    def forward(self, photos):
        grids = [self.stem(photos)]
        for step in self.steps:
            grids.append(step(grids[-1]))
        return {"feature_maps": tuple(grids), "other": None}

class Patches(nn.Module):
    # no convolution: a linear layer of flattened patches, as in naflexvit
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3 * 16, 8)

    def forward(self, photos):
        b, c, y, x = photos.shape
        cells = photos.reshape(b, c, y // 4, 4, x // 4, 4).permute(0, 2, 4, 1, 3, 5).flatten(3)
        return self.embed(cells).permute(0, 3, 1, 2)

def flat():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())

def nothing():
    return 3
"""


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A module `mine` with a network of two grids; returns the module."""
    (tmp_path / "mine.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    import mine

    yield mine
    sys.modules.pop("mine", None)


OWN = EncoderRecipe(name="mine:trunk")


@pytest.fixture
def run(code, tmp_path):
    """The run folder of a pretraining of the network, a few steps long."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(8):
        picture = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), picture)
    detcon.make_masks("grid", images=tmp_path / "photos", out=tmp_path / "masks", workers=1)
    settings = {
        "images": tmp_path / "photos", "masks": tmp_path / "masks", "out": tmp_path / "run",
        "encoder.name": "mine:trunk", "views.size": 32, "method.hidden": 8, "method.outputs": 8,
        "optimizer": {"kind": "adamw", "lr": 1e-2}, "batch_size": 4, "steps": 3, "workers": 0,
        "loop": {"precision": "32", "accelerator": "cpu", "log_every": 1},
    }  # fmt: skip
    detcon.pretrain(None, **settings)
    return tmp_path / "run"


def test_a_users_network_gives_its_last_grid(code):
    encoder = build_encoder(OWN, run_own=True)
    assert encoder.num_channels == 24 and encoder.training
    assert feature_grid(encoder, (64, 100)) == (4, 7)
    assert torch.equal(encoder.body.norm.running_mean, torch.zeros(8)), "trying leaves no trace"
    assert encoder(torch.zeros(2, 3, 64, 100)).shape == (2, 24, 4, 7)


def test_it_is_pretrained_and_written_back_under_its_own_names(run, code, tmp_path):
    file = run / "backbone.safetensors"
    assert set(load_file(file)) == set(code.Trunk().state_dict())
    out = detcon.export(backbone=file, to="own", out=tmp_path / "mine.pth", encoder=OWN)
    network = code.Trunk().eval()
    fresh = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(torch.load(out, weights_only=True))
    assert all(not torch.equal(fresh[n], t) for n, t in network.state_dict().items())
    x = torch.randn(1, 3, 32, 32)
    loaded = detcon.load_backbone(file, encoder=OWN).encoder.eval()
    assert torch.equal(loaded(x), network(x)[-1])


def test_a_file_alone_never_runs_code(run, code):
    """A backbone file names a function as its architecture: it may be a stranger's."""
    code.CALLS.clear()
    with pytest.raises(ValueError, match=r"mine:trunk: code, which isn't run because a file names"):
        detcon.load_backbone(run / "backbone.safetensors")
    other = EncoderRecipe(name="mine:flat")
    with pytest.raises(ValueError, match="isn't run because a file names it"):
        detcon.load_backbone(run / "backbone.safetensors", encoder=other)
    assert not code.CALLS
    with pytest.raises(ExportError, match=r"timm can't store encoder.name=mine:trunk; give to=own"):
        detcon.export(backbone=run / "backbone.safetensors", to="timm", out="x.pth", encoder=OWN)


def test_a_model_on_it_opens_where_the_user_says_so(code, tmp_path):
    settings = load_recipe(TransferRecipe, None, {"data": "d", "out": "o", "backbone": "b"})
    backbone = Backbone(build_encoder(OWN, run_own=True), OWN, Normalisation(), "b", {})
    network = open_task(settings.task).build(settings, backbone, ("sky", "sea")).eval()
    file = tmp_path / "model.safetensors"
    save_model(file, network, settings, backbone, ("sky", "sea"))
    code.CALLS.clear()
    with pytest.raises(ValueError, match="isn't run because a file names it; if you trust it, giv"):
        detcon.load_model(file)
    with pytest.raises(ValueError, match=r"on the encoder mine:trunk, but encoder.name=mine:flat"):
        detcon.load_model(file, encoder=EncoderRecipe(name="mine:flat"))
    assert not code.CALLS
    photo = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    found = detcon.load_model(file, encoder=OWN).predict(photo)
    np.testing.assert_array_equal(found, open_task(settings.task).predict(network, [photo])[0])
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), photo[..., ::-1])
    out = detcon.predict(
        model=file, images=tmp_path / "photos", out=tmp_path / "found", encoder="mine:trunk",
        accelerator="cpu",
    )  # fmt: skip
    np.testing.assert_array_equal(Image.open(out / "labels" / "a.png"), found)


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("nowhere.at_all:f", "cannot import encoder.name=nowhere.at_all:f: No module named 'nowhe"),
        ("mine:missing", "cannot import encoder.name=mine:missing: module 'mine' has no attribute"),
        ("mine:nothing", "encoder.name=mine:nothing must make a torch.nn.Module, but made a int"),
        (
            "json:dumps",
            r"encoder.name=json:dumps can't be called without arguments: dumps\(\) miss",
        ),
        ("mine:flat", r"'mine:flat' must return a grid \[b d h w\], but returns shape \[1, \d+\]"),
    ],
)
def test_what_is_no_encoder_gets_a_sentence(name, sentence, code):
    with pytest.raises(ValueError, match=sentence):
        build_encoder(EncoderRecipe(name=name), run_own=True)


def test_photos_of_other_channels_are_refused(code):
    recipe = EncoderRecipe(name="mine:trunk", in_channels=5)
    with pytest.raises(
        ValueError, match="photos of 5 channels and 224 x 224 pixels don't fit 'mine"
    ):
        build_encoder(recipe, run_own=True)


def test_several_grids_serve_detection_and_tied_weights_are_written(code, tmp_path):
    recipe = EncoderRecipe(name="mine:Pyramid")
    encoder = build_encoder(recipe, run_own=True)
    x = torch.rand(1, 3, 64, 96)
    assert [tuple(grid.shape[2:]) for grid in encoder.pyramid(x)] == [
        (16, 24), (8, 12), (4, 6), (2, 3)
    ]  # fmt: skip
    assert with_pyramid(encoder).pyramid_strides == STRIDES
    assert torch.equal(encoder(x), encoder.pyramid(x)[-1])
    file = tmp_path / "b.safetensors"
    save_backbone(file, encoder, recipe, normalisation=Normalisation())
    code.Pyramid().load_state_dict(load_file(file))


def test_a_backbone_of_transformers_is_an_encoder(code):
    transformers = pytest.importorskip("transformers")
    stages = ["stage1", "stage2", "stage3", "stage4"]
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8] * 4, depths=[1] * 4, out_features=stages
    )
    code.theirs = lambda: transformers.ResNetBackbone(config)
    encoder = build_encoder(EncoderRecipe(name="mine:theirs"), run_own=True)
    assert encoder.pyramid_strides == STRIDES
    assert encoder(torch.zeros(1, 3, 64, 64)).shape == (1, 8, 2, 2)


def test_one_word_names_the_encoder(code):
    recipe = load_recipe(PretrainRecipe, None, {"images": "p", "out": "o", "encoder": "mine:trunk"})
    assert recipe.encoder == OWN


def test_a_network_without_convolutions_comes_back(code, tmp_path):
    recipe = EncoderRecipe(name="mine:Patches")
    encoder = build_encoder(recipe, run_own=True)
    save_backbone(tmp_path / "b.safetensors", encoder, recipe, normalisation=Normalisation())
    again = detcon.load_backbone(tmp_path / "b.safetensors", encoder=recipe).encoder
    photos = torch.rand(1, 3, 32, 32)
    assert torch.equal(again(photos), encoder(photos))
