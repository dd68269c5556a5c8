"""Tests for detcon.importing: files of the true structure, and features beside Haiku's."""

import copy
from collections import Counter

import numpy as np
import pytest
import torch
from haiku_resnet import forward, make_checkpoint

from detcon import import_weights, load_backbone
from detcon.importing.haiku import haiku_place
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe
from detcon.models.sources import BackboneError


def features_of(path, photos):
    with torch.no_grad():
        encoder = load_backbone(path).encoder.eval()
        grid = encoder(torch.from_numpy(photos).permute(0, 3, 1, 2))
    return grid.permute(0, 2, 3, 1).numpy()


def apart(one, other):
    """The greatest difference, as a share of the spread."""
    return np.abs(one - other).max() / other.std()


def photo(side, seed=0):
    return np.random.default_rng(seed).standard_normal((1, side, side, 3)).astype("f4")


def test_a_resnet_50_has_haikus_features_at_224(write, tmp_path):
    modules = make_checkpoint()
    out = import_weights(weights=write(modules), out=tmp_path / "b.safetensors")
    assert apart(features_of(out, photo(224)), forward(modules, photo(224))) < 1e-4


@pytest.mark.parametrize(("norms", "same_padding"), [("norm", True), ("batchnorm", False)])
def test_both_spellings_and_paddings(write, tmp_path, norms, same_padding):
    """Even padding is SAME at 513 pixels, and another network at 224."""
    modules = make_checkpoint(width=0.125, norms=norms)
    out = import_weights(
        weights=write(modules), out=tmp_path / "b.safetensors", same_padding=same_padding
    )
    assert load_backbone(out).recipe.same_padding == same_padding
    assert apart(features_of(out, photo(513)), forward(modules, photo(513), norms=norms)) < 1e-4
    off = apart(features_of(out, photo(224)), forward(modules, photo(224), norms=norms))
    assert off < 1e-4 if same_padding else off > 0.1


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("depth", [18, 34])
def test_basic_blocks_and_any_prefix(write, tmp_path, depth, project):
    modules = make_checkpoint(depth, width=0.125, network="a/b", project=project)
    out = import_weights(weights=write(modules), out=tmp_path / "b.safetensors")
    recipe = load_backbone(out).recipe
    assert (recipe.name, recipe.project_first) == (f"resnet{depth}", project)
    assert apart(features_of(out, photo(96)), forward(modules, photo(96), network="a/b")) < 1e-4


def test_half_precision_is_read_as_it_is(small, write, tmp_path):
    half = {
        module: {name: array.astype("f2") if array.dtype == "f4" else array
                 for name, array in entries.items()}
        for module, entries in small.items()
    }  # fmt: skip
    out = import_weights(weights=write(half), out=tmp_path / "b.safetensors")
    weight = load_backbone(out).encoder.bn1.weight
    assert weight.dtype == torch.float32
    scale = half["res_net50/~/initial_batchnorm"]["scale"].ravel()
    assert torch.equal(weight.detach(), torch.from_numpy(scale).float())


@pytest.mark.parametrize(("depth", "num_convs"), [(50, 53), (101, 104), (200, 203)])
@pytest.mark.parametrize("norms", ["batchnorm", "norm"])
def test_every_array_of_the_encoder_has_its_place(depth, num_convs, norms):
    """At full depth, on the meta device; the averages that aren't read are the known ones."""
    with torch.device("meta"):
        state = build_encoder(EncoderRecipe(name=f"resnet{depth}", width=0.125)).state_dict()
    given = make_checkpoint(depth, width=0.125, norms=norms)
    places = {name: haiku_place(name, prefix="res_net50/~/", norms=norms) for name in state}
    assert len(set(places.values())) == len(state) == 6 * num_convs
    for name, (module, entry) in places.items():
        shape = given[module][entry].shape
        as_torch = (*shape[:1:-1], *shape[:2]) if "/conv_" in module or entry == "w" else shape
        assert tuple(n for n in as_torch if n > 1) == tuple(n for n in state[name].shape if n > 1)
    unread = Counter(
        f"{module.rpartition('/')[2]} {entry}"
        for module, entries in given.items()
        for entry in entries
        if module.startswith("res_net50/") and (module, entry) not in places.values()
    )
    assert set(unread) == {"mean_ema hidden", "var_ema hidden", "var_ema counter"}
    assert set(unread.values()) == {num_convs}


def test_the_released_sizes():
    with torch.device("meta"):
        encoder = build_encoder(EncoderRecipe(name="resnet200"))
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(63e6, rel=0.02)
    state = encoder.state_dict()
    assert len(state) == 1218 and state["layer3.35.conv2.weight"].shape == (256, 256, 3, 3)
    place = haiku_place("layer3.35.conv2.weight", prefix="res_net200/~/", norms="norm")
    assert place == ("res_net200/~/block_group_2/~/block_35/~/conv_1", "w")


def test_the_file_says_what_was_read(small, write, tmp_path):
    out = import_weights(weights=write(small), out=tmp_path / "b.safetensors")
    backbone = load_backbone(out)
    assert backbone.recipe == EncoderRecipe(name="resnet50", width=0.125, same_padding=True)
    assert backbone.normalisation.mean == (0.485, 0.456, 0.406) and backbone.match.is_full
    notes = backbone.notes
    assert (notes["imported"], notes["tensors"]) == ("released.npy", 318)
    assert notes["statistics"] == "average of batchnorm/~/mean_ema and var_ema"
    left = {"averages of norms": 159, "classifier": 2, "predictor": 5, "projector": 5}
    assert notes["left"] == left
    assert str(tmp_path) not in str(notes), "paths concern nobody else"
    norm = small["res_net50/~/initial_batchnorm/~/var_ema"]
    variance = backbone.encoder.bn1.running_var
    assert torch.equal(variance, torch.from_numpy(norm["average"].ravel()))
    assert backbone.encoder.bn1.num_batches_tracked == 1234


def test_raw_colours_and_files_that_are_there(small, write, tmp_path):
    settings = {"weights": write(small), "out": tmp_path / "b.safetensors"}
    plain = {"normalisation.mean": [0, 0, 0], "normalisation.std": [1, 1, 1]}
    out = import_weights(**settings, **plain)
    assert load_backbone(out).normalisation.std == (1, 1, 1)
    before = out.read_bytes()
    assert import_weights(**settings, **plain).read_bytes() == before, "the same again is fine"
    with pytest.raises(BackboneError, match="b.safetensors exists and holds something else"):
        import_weights(**settings)
    assert out.read_bytes() == before
    with pytest.raises(
        BackboneError, match="cannot write a backbone to b.pth: give a name in .saf"
    ):
        import_weights(weights=settings["weights"], out="b.pth")
    with pytest.raises(BackboneError, match="for photos of 3 channels, but normalisation has 1"):
        import_weights(**settings, **{"normalisation.mean": [0.5], "normalisation.std": [1]})


BLOCK = "res_net50/~/block_group_2/~/block_5/~"


def cut(modules, module, entry):
    del modules[module][entry]


def put(modules, module, entry, array):
    modules.setdefault(module, {})[entry] = array


CHANGES = {
    r"lacks w of .*block_5/~/conv_1, which a resnet50 has": lambda m: cut(
        m, f"{BLOCK}/conv_1", "w"
    ),
    r"lacks average of .*batchnorm_0/~/var_ema, which": lambda m: cut(
        m, f"{BLOCK}/batchnorm_0/~/var_ema", "average"
    ),
    r"lacks scale of .*batchnorm_2 and 1 more, which": lambda m: m.pop(f"{BLOCK}/batchnorm_2"),
    r"has 3, 4, 5, 3 blocks in the groups of res_net50/~/, which is no ResNet of 18": lambda m: [
        m.pop(module) for module in list(m) if module.startswith(BLOCK)
    ],
    r"has w of .*block_5/~/conv_3 that no resnet50 has": lambda m: put(
        m, f"{BLOCK}/conv_3", "w", np.ones((1, 1, 8, 8), "f4")
    ),
    r"has b of res_net50/~/initial_conv that no": lambda m: put(
        m, "res_net50/~/initial_conv", "b", np.ones(8, "f4")
    ),
    r"has w of .*conv_1 of shape \[32, 32, 32, 3\], but \[3, 3, 32, 32\] is expected": (
        lambda m: put(m, f"{BLOCK}/conv_1", "w", np.ones((32, 32, 32, 3), "f4"))
    ),
    r"has scale of .*batchnorm_1 of shape \[1, 1, 1, 33\], but \[1, 1, 1, 32\] is expected": (
        lambda m: put(m, f"{BLOCK}/batchnorm_1", "scale", np.ones((1, 1, 1, 33), "f4"))
    ),
    r"has w of .*conv_1 of shape \[5\], but": lambda m: put(
        m, f"{BLOCK}/conv_1", "w", np.ones(5, "f4")
    ),
    r"has counter of .*mean_ema of shape \[2\], but \[\] is expected": lambda m: put(
        m, f"{BLOCK}/batchnorm_1/~/mean_ema", "counter", np.ones(2, "i4")
    ),
    r"has w of .*conv_1 of type int32, but floating-point numbers are expected": lambda m: put(
        m, f"{BLOCK}/conv_1", "w", np.ones((3, 3, 32, 32), "i4")
    ),
    r"has counter of .*mean_ema of type float32, but whole numbers are expected": lambda m: put(
        m, f"{BLOCK}/batchnorm_1/~/mean_ema", "counter", np.float32(3)
    ),
    r"has offset of .*batchnorm_1 with values that are not finite": lambda m: put(
        m, f"{BLOCK}/batchnorm_1", "offset", np.full((1, 1, 1, 32), np.nan, "f4")
    ),
    r"has w of res_net50/~/initial_conv of shape \[7, 7\] and w of .*multiples are exp": lambda m: (
        put(m, "res_net50/~/initial_conv", "w", np.ones((7, 7), "f4"))
    ),
    r"holds 2 encoders \(res_net50/~/initial_conv, target/~/initial_conv\), but one is expected": (
        lambda m: put(m, "target/~/initial_conv", "w", np.ones((7, 7, 3, 8), "f4"))
    ),
    r"has no encoder: .*such as res_net50/~/initial_conv; it has \w+": lambda m: [
        m.pop(module) for module in list(m) if module.startswith("res_net50")
    ],
}


@pytest.mark.parametrize("sentence", CHANGES)
def test_what_does_not_fit_is_told_in_one_sentence(small, write, tmp_path, sentence):
    modules = copy.deepcopy(small)
    CHANGES[sentence](modules)
    with pytest.raises(BackboneError, match=rf"released\.npy {sentence}.*; give one of ") as told:
        import_weights(weights=write(modules), out=tmp_path / "b.safetensors")
    assert "\n" not in str(told.value) and not (tmp_path / "b.safetensors").exists()
