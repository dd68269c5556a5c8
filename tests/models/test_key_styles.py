"""Tests for detcon.models.key_styles, .infer and .match, through files as they are downloaded."""

import argparse
from functools import cache

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from detcon.models.backbone_file import BackboneError, load_backbone
from detcon.models.encoders import build_encoder
from detcon.models.infer import infer_resnet
from detcon.models.key_styles import from_detectron2, from_sequence, to_detectron2, translate
from detcon.models.recipe import RESNETS, EncoderRecipe

BASIC = EncoderRecipe(name="resnet18", width=0.125)
DEEP = EncoderRecipe(name="resnet50", width=0.125)


def make_state(recipe=BASIC, seed=0):
    return dict(_state(recipe, seed))


@cache
def _state(recipe, seed):
    torch.manual_seed(seed)
    encoder = build_encoder(recipe)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return encoder.state_dict()


def below(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def linear(prefix, d=64):
    return {f"{prefix}.weight": torch.randn(8, d), f"{prefix}.bias": torch.randn(8)}


def in_sequence(state):
    """What lightly's examples save: nn.Sequential(*list(resnet.children())[:-1])."""
    places = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    return {
        f"{places[name.split('.')[0]]}.{name.split('.', 1)[1]}": tensor
        for name, tensor in state.items()
    }


def in_detectron2(state):
    """The names by hand, without the counters, which detectron2's frozen norms don't have."""
    named = {}
    for name, tensor in state.items():
        for stage in (1, 2, 3, 4):
            name = name.replace(f"layer{stage}", f"res{stage + 1}")
        for number in (1, 2, 3):
            name = name.replace(f"bn{number}", f"conv{number}.norm")
        name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        if not name.endswith("num_batches_tracked"):
            named[name if name.startswith("res") else f"stem.{name}"] = tensor
    return named


def checkpoint(style, mine, other):
    """A checkpoint of the true form: names, nesting, and what else lies in it."""
    return {
        "torchvision": lambda: mine | linear("fc"),
        "moco_v1": lambda: {
            "epoch": 200,
            "arch": "resnet50",
            "state_dict": below("module.encoder_q.", mine | linear("fc"))
            | below("module.encoder_k.", other | linear("fc"))
            | {"module.queue": torch.randn(8, 16), "module.queue_ptr": torch.zeros(1)},
            "optimizer": {"state": {0: {"momentum_buffer": torch.randn(2)}}, "param_groups": []},
        },
        "moco_v2": lambda: {
            "state_dict": below("module.encoder_q.", mine | linear("fc.0") | linear("fc.2"))
            | below("module.encoder_k.", other)
        },
        "moco_v3": lambda: {
            "state_dict": below("module.base_encoder.", mine | linear("fc.0"))
            | below("module.momentum_encoder.", other)
            | linear("module.predictor.0")
        },
        "simsiam": lambda: {
            "state_dict": below("module.encoder.", mine | linear("fc.0"))
            | linear("module.predictor.0")
        },
        "dino": lambda: {
            "student": below("module.backbone.", other) | linear("module.head.mlp.0"),
            "teacher": below("backbone.", mine) | linear("head.last_layer"),
            "args": argparse.Namespace(arch="resnet50", patch_size=16),
            "dino_loss": {"center": torch.zeros(1, 8)},
        },
        "swav": lambda: (
            below("module.", mine)
            | linear("module.projection_head.0")
            | {"module.prototypes.weight": torch.randn(8, 4)}
        ),
        "lightly": lambda: {
            "state_dict": below("backbone.", in_sequence(mine))
            | below("backbone_momentum.", in_sequence(other))
            | linear("projection_head.layers.0"),
            "hyper_parameters": {"lr": 0.1},
        },
        "vissl": lambda: {
            "classy_state_dict": {
                "base_model": {
                    "model": {"trunk": below("_feature_blocks.", mine), "heads": linear("0.clf.0")}
                }
            },
            "phase_idx": 3,
        },
        "vissl_trunk": lambda: below("trunk._feature_blocks.", mine) | linear("heads.0.clf.0"),
        "detectron2": lambda: in_detectron2(mine) | linear("stem.fc"),
        "detectron2_trained": lambda: {
            "model": below("backbone.bottom_up.", in_detectron2(mine))
            | {"backbone.fpn_lateral2.weight": torch.randn(4, 4, 1, 1)}
            | linear("roi_heads.box_predictor.cls_score"),
            "iteration": 9,
        },
    }[style]()


STYLES = ["torchvision", "moco_v1", "moco_v2", "moco_v3", "simsiam", "dino", "swav", "lightly",
          "vissl", "vissl_trunk", "detectron2", "detectron2_trained"]  # fmt: skip


@pytest.mark.parametrize("recipe", [BASIC, DEEP], ids=["basic", "bottleneck"])
@pytest.mark.parametrize("style", STYLES)
def test_every_style_gives_the_same_network(style, recipe, tmp_path):
    mine, other = make_state(recipe, 1), make_state(recipe, 2)
    torch.save(checkpoint(style, mine, other), tmp_path / "c.pth")
    backbone = load_backbone(tmp_path / "c.pth")
    assert backbone.recipe == recipe and backbone.match.is_full
    for name, tensor in backbone.encoder.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, mine[name]), name
    assert len(backbone.match.aside) > 0 and " none missing" in str(backbone.match)


@pytest.mark.parametrize("recipe", [BASIC, DEEP], ids=["basic", "bottleneck"])
def test_translations_undo_each_other(recipe):
    state = make_state(recipe)
    assert [from_detectron2(to_detectron2(name)) for name in state] == list(state)
    assert [from_sequence(name) for name in in_sequence(state)] == list(state)
    by_hand = in_detectron2(state)
    assert {to_detectron2(n) for n in state if not n.endswith("tracked")} == set(by_hand)


@pytest.mark.parametrize("name", RESNETS)
@pytest.mark.parametrize("width, channels", [(1, 3), (0.5, 5), (2, 1)])
def test_the_architecture_is_in_the_shapes(name, width, channels):
    recipe = EncoderRecipe(name=name, width=width, in_channels=channels)
    with torch.device("meta"):
        state = build_encoder(recipe).state_dict()
    assert infer_resnet(state) == recipe


def test_other_channels_are_normalised_as_ours(tmp_path):
    torch.save(make_state(BASIC.model_copy(update={"in_channels": 5})), tmp_path / "c.pth")
    assert load_backbone(tmp_path / "c.pth").normalisation.mean == (0.5,) * 5


CHANGES = {
    "renamed": r"lacks 1 of its tensors, first .* and has 1 more, first .*x",
    "dropped": r"lacks (1 of its tensors, first|\S+, which tells)",
    "reshaped": r"has other shapes of 1 of its tensors|which is no convolution|a stem of|is no",
    "added": r"has 1 more, first layer2\.0\.se",
}


@settings(deadline=None, max_examples=40)
@given(
    style=st.sampled_from(["torchvision", "moco_v2", "dino", "lightly", "vissl", "detectron2"]),
    change=st.sampled_from(list(CHANGES)),
    which=st.integers(0, 61),
)
def test_a_change_is_told_in_one_sentence(style, change, which, tmp_path_factory):
    mine = make_state()
    names = [name for name in mine if not name.endswith("num_batches_tracked")]
    name = names[which % len(names)]
    if change == "added":
        mine["layer2.0.se.weight"] = torch.randn(2)
    elif change == "reshaped":
        mine[name] = torch.randn(3, *mine[name].shape)
    else:
        tensor = mine.pop(name)
        if change == "renamed":
            mine[f"{name}x"] = tensor
    path = tmp_path_factory.mktemp("c") / "c.pth"
    torch.save(checkpoint(style, mine, make_state(seed=2)), path)
    with pytest.raises(
        BackboneError, match=rf"c\.pth .*({CHANGES[change]}|shows the arch)"
    ) as told:
        load_backbone(path)
    assert "\n" not in str(told.value)
    if change != "reshaped" or "encoder.name" in str(told.value):
        taken = load_backbone(path, encoder=BASIC, partial=True).match
        assert len(taken.matched) >= len(mine) - 2 - 20 and not taken.is_full


def test_partial_takes_what_matches_and_says_so(tmp_path):
    mine = make_state()
    del mine["layer4.1.conv2.weight"]
    torch.save(mine, tmp_path / "c.pth")
    grey = BASIC.model_copy(update={"in_channels": 1})
    with pytest.raises(BackboneError, match="take what matches: partial=True in Python"):
        load_backbone(tmp_path / "c.pth", encoder=grey)
    backbone = load_backbone(tmp_path / "c.pth", encoder=grey, partial=True)
    assert backbone.match.missing == ("layer4.1.conv2.weight",)
    assert backbone.match.reshaped == ("conv1.weight",)
    assert torch.equal(backbone.encoder.bn1.running_mean, mine["bn1.running_mean"])
    assert "1 (conv1.weight) of another shape" in str(backbone.match)
    torch.save({"weight": torch.ones(2)}, tmp_path / "n.pth")
    with pytest.raises(BackboneError, match="has no names of a ResNet"):
        load_backbone(tmp_path / "n.pth", encoder=BASIC, partial=True)


def test_what_is_no_resnet_of_ours_is_told(tmp_path):
    def told(state, sentence):
        torch.save(state, tmp_path / "c.pth")
        with pytest.raises(BackboneError, match=sentence):
            load_backbone(tmp_path / "c.pth")

    mine = make_state()
    two = below("a.", mine) | below("b.", make_state(seed=1))
    told(two, r"holds 2 ResNets, below 'a\.', 'b\.'; save the one you want alone")
    stem = mine | {"conv1.weight": torch.randn(8, 3, 3, 3)}
    told(stem, r"has a stem of 3 x 3 pixels, where our ResNets have 7 x 7")
    short = {name: t for name, t in mine.items() if not name.startswith("layer3.1")}
    told(short, r"has 2, 2, 1, 2 basic blocks in its stages, which is no ResNet of 18")
    told({"epoch": 3}, "holds no state dict: names and tensors")


def test_a_student_alone_is_taken():
    assert translate(below("student.", make_state())).prefix == "student."
