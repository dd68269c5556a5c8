"""Tests for detcon.exporting: each file is opened by its framework, and computes the same."""

import json
import pickle
from functools import cache
from unittest.mock import patch

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from safetensors.torch import load_file
from torch import nn

from detcon import export, load_backbone
from detcon.cli import main
from detcon.exporting import packing
from detcon.exporting.recipe import ExportError, ExportRecipe, check_carried, fits_timm
from detcon.exporting.reloading import how_to_open, loaded_share
from detcon.models.backbone_file import save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation

drawn = nn.init.trunc_normal_
NOTES = {"method": "detcon_s", "steps": 7, "images": "/home/me/photos"}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Saves a backbone with statistics of its own; returns its file and its features of `x`.

    Tests with the same settings share a file, which none of them changes.
    """

    @cache
    def call(**settings):
        torch.manual_seed(0)
        recipe = EncoderRecipe(**{"name": "resnet18", **settings})
        with patch.object(nn.init, "trunc_normal_", drawn):
            encoder = build_encoder(recipe).eval()
        for module in encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.1, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 2)
                nn.init.uniform_(module.weight, 0.2, 0.5)
        path = tmp_path_factory.mktemp("backbone") / "backbone.safetensors"
        normalisation = Normalisation.of(recipe.in_channels)
        save_backbone(path, encoder, recipe, normalisation=normalisation, notes=NOTES)
        x = torch.randn(1, recipe.in_channels, 64, 96)
        return path, x, encoder(x).detach()

    return call


@pytest.fixture(autouse=True)
def not_drawn(monkeypatch):
    """Weights that are read anew begin as NaN: drawing them takes longer than all the rest."""
    monkeypatch.setattr(nn.init, "trunc_normal_", lambda x, **_: nn.init.constant_(x, torch.nan))


def close(given, expected, tolerance=1e-5):
    most = tolerance * expected.std()
    return given.shape == expected.shape and (given - expected).abs().max() <= most


def same_tensors(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def blank(make, *args, **settings):
    """A network without weights: to draw those of a ResNet-50 takes longer than to load them."""
    with torch.device("meta"):
        network = make(*args, **settings)
    return network.to_empty(device="cpu").eval()


def of_torchvision(name, **settings):
    return blank(torchvision.models.get_model, name, **settings)


def grid_of_torchvision(model, x):
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    return model.layer4(model.layer3(model.layer2(model.layer1(x))))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvision(name, make, tmp_path):
    path, x, features = make(name=name)
    out = export(backbone=path, to="torchvision", out=tmp_path / "b.pth")
    model = of_torchvision(name)
    report = model.load_state_dict(torch.load(out, weights_only=True), strict=False)
    assert report.missing_keys == ["fc.weight", "fc.bias"] and not report.unexpected_keys
    assert close(grid_of_torchvision(model, x), features)
    assert close(load_backbone(out).encoder.eval()(x), features), "and back"


@pytest.mark.parametrize(
    "settings",
    [{"name": "resnet18"}, {"name": "resnet26", "in_channels": 3}, {"in_channels": 5},
     {"name": "convnext_atto"}, {"name": "efficientnet_lite0"}],
    ids=str,
)  # fmt: skip
def test_timm(settings, make, tmp_path):
    path, x, features = make(**settings)
    name, channels = settings.get("name", "resnet18"), x.shape[1]
    out = export(backbone=path, to="timm", out=tmp_path / "b.safetensors")
    model = blank(timm.create_model, name, num_classes=0, in_chans=channels)
    if "resnet" in name:
        timm.models.load_checkpoint(model, str(out))
    else:  # a last norm, which a backbone doesn't have
        state = timm.models.load_state_dict(str(out))
        assert not model.load_state_dict(state, strict=False).unexpected_keys
    if "resnet" in name:
        assert close(model.forward_features(x), features)
    else:
        whole = timm.create_model(name, features_only=True, out_indices=(-1,), in_chans=channels)
        mine = {n.replace("_", "."): t for n, t in model.state_dict().items()}
        whole.load_state_dict({n: mine[n.replace("_", ".")] for n in whole.state_dict()})
        assert close(whole.eval()(x)[0], features)
    back = load_backbone(out, encoder=EncoderRecipe(**{"name": name, "in_channels": channels}))
    assert close(back.encoder.eval()(x), features)


class Conv2d(nn.Conv2d):
    """A stand-in for detectron2's: a convolution that has its norm inside."""

    def __init__(self, c, d, size, stride=1):
        super().__init__(c, d, size, stride, size // 2, bias=False)
        self.norm = nn.BatchNorm2d(d)

    def forward(self, x):
        return self.norm(super().forward(x))


class BottleneckBlock(nn.Module):
    """A stand-in for detectron2's, with STRIDE_IN_1X1 off."""

    def __init__(self, c, inner, out, stride):
        super().__init__()
        self.shortcut = Conv2d(c, out, 1, stride) if c != out else None
        self.conv1 = Conv2d(c, inner, 1)
        self.conv2 = Conv2d(inner, inner, 3, stride)
        self.conv3 = Conv2d(inner, out, 1)

    def forward(self, x):
        y = self.conv3(self.conv2(self.conv1(x).relu()).relu())
        return (y + (x if self.shortcut is None else self.shortcut(x))).relu()


class Detectron2ResNet(nn.Module):
    """A stand-in for detectron2's ResNet-50, exact in its keys."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Module()
        self.stem.conv1, c = Conv2d(3, 64, 7, 2), 64
        for stage, num_blocks in enumerate((3, 4, 6, 3)):
            blocks = []
            for block in range(num_blocks):
                out, stride = 256 * 2**stage, 2 if stage and not block else 1
                blocks.append(BottleneckBlock(c, out // 4, out, stride))
                c = out
            setattr(self, f"res{stage + 2}", nn.Sequential(*blocks))

    def forward(self, x):
        x = nn.functional.max_pool2d(self.stem.conv1(x).relu(), 3, 2, 1)
        return self.res5(self.res4(self.res3(self.res2(x))))


def test_detectron2(make, tmp_path):
    path, x, features = make(name="resnet50")
    out = export(backbone=path, to="detectron2", out=tmp_path / "b.pkl")
    file = pickle.loads(out.read_bytes())
    assert file["matching_heuristics"] is True and file["__author__"] == "detcon"
    assert all(isinstance(array, np.ndarray) for array in file["model"].values())
    state = {name: torch.from_numpy(array.copy()) for name, array in file["model"].items()}
    model = blank(Detectron2ResNet)
    counters = {name for name in model.state_dict() if name.endswith("num_batches_tracked")}
    assert set(state) == set(model.state_dict()) - counters
    model.load_state_dict(state, strict=False)
    assert close(model(x), features)
    torch.save({"model": state}, tmp_path / "back.pth")
    assert close(load_backbone(tmp_path / "back.pth").encoder.eval()(x), features)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "settings",
    [
        {"width": 0.125, "stride": 16, "in_channels": 1, "same_padding": True},
        {"name": "test_vit"},
    ],
    ids=str,
)
def test_onnx(settings, make, tmp_path):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path, x, _ = make(**settings)
    out = export(backbone=path, to="onnx", out=tmp_path / "b.onnx")
    onnx.checker.check_model(str(out))
    session = runtime.InferenceSession(out, providers=["CPUExecutionProvider"])
    encoder = load_backbone(path).encoder.eval()
    for shape in ((2, 64, 96), (1, 96, 97), (3, 160, 131)):
        x = torch.randn(shape[0], x.shape[1], *shape[1:])
        given = session.run(None, {"photos": x.numpy()})[0]
        assert close(
            torch.from_numpy(given), encoder(x).detach(), 1e-4 if "name" in settings else 1e-5
        )
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["detcon.normalisation"])["mean"][0] in (0.485, 0.5)
    assert b"/home" not in out.read_bytes() and b"site-packages" not in out.read_bytes()


def test_onnx_says_what_to_install(make, tmp_path, monkeypatch):
    path, _, _ = make(width=0.125)
    monkeypatch.setattr(packing, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"needs onnx and onnxscript, .*pip install 'detcon\["):
        export(backbone=path, to="onnx", out=tmp_path / "b.onnx")


def test_a_network_that_torch_cannot_write_says_what_can(make, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("no such operator\nand pages more")

    path, _, _ = make(width=0.125)
    monkeypatch.setattr(packing, "find_spec", lambda name: name)
    monkeypatch.setattr(packing.torch.onnx, "export", refuse)
    with pytest.raises(ExportError, match="no such operator; to=own writes any network"):
        export(backbone=path, to="onnx", out=tmp_path / "b.onnx")


@pytest.mark.parametrize("settings", [{}, {"in_channels": 4}], ids=str)
def test_hub_is_opened_by_timm_and_by_us(settings, make, tmp_path):
    path, x, features = make(**settings)
    out = export(backbone=path, to="hub", out=tmp_path / "repo", license="cc-by-4.0")
    assert {p.name for p in out.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    model = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    assert close(model.forward_features(x), features)
    assert model.pretrained_cfg["mean"] == list(Normalisation.of(x.shape[1]).mean)
    back = load_backbone(out / "model.safetensors")
    assert close(back.encoder.eval()(x), features)
    assert back.normalisation == load_backbone(path).normalisation
    assert back.notes == {"method": "detcon_s", "steps": 7}
    card = (out / "README.md").read_text()
    for word in ("license: cc-by-4.0", '- method: "detcon_s"', "## Normalisation", "hf-hub:"):
        assert word in card
    assert not any("/home" in p.read_bytes().decode("latin1") for p in out.iterdir())


@pytest.mark.parametrize(
    "settings", [{"width": 0.125, "stride": 8, "same_padding": True}, {"name": "convnext_atto"}],
    ids=str,
)  # fmt: skip
def test_hub_carries_every_backbone_of_ours(settings, make, tmp_path):
    path, x, features = make(**settings)
    out = export(backbone=path, to="hub", out=tmp_path / "repo")
    back = load_backbone(out / "model.safetensors")
    assert back.recipe == load_backbone(path).recipe
    assert close(back.encoder.eval()(x), features)
    assert "architecture" not in json.loads((out / "config.json").read_text())
    assert "Not stated" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    "settings, to, sentence",
    [
        ({"width": 0.125}, "torchvision",
         "torchvision can't store encoder.width=0.125; to=transformers can, and to=onnx"),
        ({"width": 0.125}, "timm", "timm can't store encoder.width=0.125"),
        ({"stride": 16}, "detectron2", "detectron2 can't store encoder.stride=16; give stride=32"),
        ({"same_padding": True}, "timm", "timm can't store encoder.same_padding=true"),
        ({"project_first": True}, "timm", "timm can't store encoder.project_first=true"),
        ({"in_channels": 5}, "torchvision", "torchvision can't store encoder.in_channels=5"),
        ({"name": "convnext_atto"}, "torchvision", "can't store encoder.name=convnext_atto; give"),
    ],
)  # fmt: skip
def test_what_a_format_cannot_carry_is_refused(settings, to, sentence):
    with pytest.raises(ExportError, match=sentence):
        check_carried(EncoderRecipe(**{"name": "resnet18", **settings}), to)


def test_what_is_refused_writes_nothing_and_the_advice_helps(make, tmp_path):
    path, _, _ = make(stride=16)
    out = tmp_path / "b.pkl"
    with pytest.raises(ExportError, match="give stride=32"):
        export(backbone=path, to="detectron2", out=out)
    assert not out.exists()
    assert export(backbone=path, to="detectron2", out=out, stride=32) == out


def test_resnet200_has_a_home_in_timm_alone():
    recipe = EncoderRecipe(name="resnet200")
    with torch.device("meta"):
        mine, theirs = build_encoder(recipe).state_dict(), timm.create_model("resnet200")
    shapes = {name: t.shape for name, t in theirs.state_dict().items() if not name.startswith("fc")}
    assert {name: t.shape for name, t in mine.items()} == shapes and fits_timm(recipe)
    for to in ("torchvision", "detectron2"):
        with pytest.raises(ExportError, match=f"{to} can't store encoder.name=resnet200"):
            check_carried(recipe, to)


@pytest.mark.parametrize(
    "to, name", [("torchvision", "b.pth"), ("detectron2", "b.pkl"), ("hub", "b")]
)
def test_what_is_there_is_left_alone(to, name, make, tmp_path):
    path, _, _ = make()
    out = tmp_path / "out" / name
    export(backbone=path, to=to, out=out)
    export(backbone=path, to=to, out=out)  # the same bytes: nothing to lose
    letter = out / "README.md" if to == "hub" else out
    letter.write_text("dear")
    with pytest.raises(ExportError, match="exists and holds something else; give another out="):
        export(backbone=path, to=to, out=out)
    assert letter.read_text() == "dear"


def test_a_place_that_does_not_suit(make, tmp_path):
    path, _, _ = make(width=0.125)
    for to, out, sentence in (
        ("torchvision", "b.onnx", "give a name that ends in .pth or .pt or .safetensors"),
        ("hub", path, "it is a file; hub needs a folder"),
        ("hub", path.parent, "holds backbone.safetensors, which is not part of this export"),
    ):
        with pytest.raises(ExportError, match=sentence):
            export(backbone=path, to=to, out=out)
    with pytest.raises(ExportError, match="a random backbone has nothing to export"):
        export(backbone="random", to="timm", out="b.pth", **{"encoder.name": "resnet18"})


@pytest.mark.parametrize(
    "settings",
    [{}, {"name": "resnet50", "width": 0.25}, {"in_channels": 5}], ids=str,
)  # fmt: skip
def test_transformers_loads_the_folder_and_computes_the_same(settings, make, tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    path, x, features = make(**settings)
    out = export(backbone=path, to="transformers", out=tmp_path / "folder")
    model, report = transformers.ResNetBackbone.from_pretrained(out, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys"))
    with torch.inference_mode():
        assert close(model.eval()(x).feature_maps[-1], features)
    model.save_pretrained(tmp_path / "again")
    processor = transformers.AutoImageProcessor.from_pretrained(out)
    assert tuple(processor.image_mean) == load_backbone(path).normalisation.mean
    again = auto_backbone(transformers, tmp_path / "again", monkeypatch)
    assert same_tensors(model, again)


def auto_backbone(transformers, folder, monkeypatch):
    """`AutoBackbone` of version 5 asks the hub first, and takes no folder that isn't there."""
    factory = transformers.models.auto.auto_factory
    if hasattr(factory, "hf_api"):
        api = factory.hf_api()
        monkeypatch.setattr(api, "repo_exists", lambda *_: True, raising=False)
        monkeypatch.setattr(factory, "hf_api", lambda: api)
    return transformers.AutoBackbone.from_pretrained(str(folder))


@pytest.mark.parametrize("to, depth", [("mmseg", 50), ("mmdet", 18)])
def test_openmmlabs_names_are_torchvisions_and_the_configuration_says_how(
    to, depth, make, tmp_path
):
    """A stand-in for mmcv's `ResNet`: the same names, shapes and arithmetic (style="pytorch")."""
    path, x, features = make(name=f"resnet{depth}")
    out = export(backbone=path, to=to, out=tmp_path / "b.pth")
    state = torch.load(out, weights_only=True)["state_dict"]
    model = of_torchvision(f"resnet{depth}")
    report = model.load_state_dict(state, strict=False)
    assert report.missing_keys == ["fc.weight", "fc.bias"] and not report.unexpected_keys
    assert close(grid_of_torchvision(model, x), features)
    config = {}
    exec((tmp_path / "b.py").read_text(), config)
    backbone, data = config["model"]["backbone"], config["data_preprocessor"]
    assert backbone["depth"] == depth and backbone["style"] == "pytorch"
    assert backbone["strides"] == (1, 2, 2, 2) and backbone["dilations"] == (1, 1, 1, 1)
    assert backbone["init_cfg"] == {"type": "Pretrained", "checkpoint": str(out)}
    assert data["mean"] == [123.675, 116.28, 103.53] and data["bgr_to_rgb"] is True
    assert data["type"] == {"mmseg": "SegDataPreProcessor", "mmdet": "DetDataPreprocessor"}[to]


def test_mmseg_gets_the_dilations_of_smaller_strides(make, tmp_path):
    """torchvision's dilated ResNet, as mmseg writes it with `contract_dilation`."""
    path, x, _ = make(name="resnet50", stride=8)
    out, config = export(backbone=path, to="mmseg", out=tmp_path / "b.pth"), {}
    exec((tmp_path / "b.py").read_text(), config)
    backbone = config["model"]["backbone"]
    assert backbone["strides"] == (1, 2, 1, 1) and backbone["dilations"] == (1, 1, 2, 4)
    assert backbone["contract_dilation"] is True
    same = of_torchvision("resnet50", replace_stride_with_dilation=[False, True, True])
    same.load_state_dict(torch.load(out, weights_only=True)["state_dict"], strict=False)
    assert close(grid_of_torchvision(same, x), load_backbone(path).encoder.eval()(x))
    for stage, dilation in enumerate(backbone["dilations"], 1):
        blocks = getattr(same, f"layer{stage}")
        assert blocks[1].conv2.dilation == (dilation, dilation)
        assert blocks[0].conv2.dilation == (max(1, dilation // 2),) * 2
    with pytest.raises(ExportError, match=r"mmdet can't store encoder.stride=8; give stride=32"):
        export(backbone=path, to="mmdet", out=tmp_path / "c.pth")


def test_smp_loads_the_encoder(make, tmp_path):
    """In segmentation_models_pytorch where it is installed, else in a stand-in with its names."""
    path, x, features = make(in_channels=4)
    out = export(backbone=path, to="smp", out=tmp_path / "b.pth")
    state = torch.load(out, weights_only=True)
    try:
        from segmentation_models_pytorch.encoders import get_encoder
    except ImportError:
        model = of_torchvision("resnet18")
        model.conv1 = nn.Conv2d(4, 64, 7, 2, 3, bias=False)
        assert not model.load_state_dict(state, strict=False).unexpected_keys
        found = grid_of_torchvision(model, x)
    else:
        model = get_encoder("resnet18", in_channels=4, weights=None).eval()
        model.load_state_dict(state)
        found = model(x)[-1]
    assert close(found.detach(), features)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto"])
def test_own_names_go_back_into_the_same_network(name, make, tmp_path):
    path, _, _ = make(name=name)
    out = export(backbone=path, to="own", out=tmp_path / "b.safetensors")
    encoder = build_encoder(EncoderRecipe(name=name))
    network = getattr(encoder, "body", encoder)
    network.load_state_dict(load_file(out))
    loaded = load_backbone(path).encoder
    assert same_tensors(encoder, loaded)


@pytest.mark.parametrize(
    "to, share",
    [("transformers", "120 of 120 tensors fit transformers' ResNetBackbone"),
     ("mmseg", "120 of 120 tensors fit torchvision's resnet18, whose names mmseg has"),
     ("smp", "120 of 120 tensors fit torchvision's resnet18, whose names smp has"),
     ("torchvision", "120 of 120 tensors fit torchvision's resnet18"),
     ("timm", "120 of 120 tensors fit timm's resnet18\n"),
     ("own", "120 tensors")],
)  # fmt: skip
def test_the_share_of_loaded_tensors_is_printed(to, share, make, tmp_path, monkeypatch, capsys):
    path, _, _ = make()
    out = tmp_path / ("folder" if to == "transformers" else "b.pth")
    words = [f"backbone={path}", f"to={to}", f"out={out}"]
    monkeypatch.setattr("sys.argv", ["detcon", "export", *words])
    main()
    said = capsys.readouterr().out
    assert share in said and f"wrote {out}" in said
    assert "normalised by mean 0.485, 0.456, 0.406 and std 0.229, 0.224, 0.225" in said


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "convnext_atto"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_call_that_is_printed_for_timm_gives_our_features(name, suffix, make, tmp_path):
    path, x, features = make(name=name)
    out = export(backbone=path, to="timm", out=tmp_path / f"b{suffix}")
    call = how_to_open(ExportRecipe(backbone=str(path), to="timm", out=str(out)))
    *statements, last = call.split("; ")
    given = {"timm": timm, "torch": torch, "safetensors": safetensors, "PHOTOS": x}
    exec("; ".join(statements), given)
    assert close(eval(last, given), features)


@pytest.mark.parametrize("to", ["torchvision", "own"])
def test_the_calls_that_are_printed_for_others_load_the_file(to, make, tmp_path):
    path, _, _ = make()
    out = export(backbone=path, to=to, out=tmp_path / "b.pth")
    call = how_to_open(ExportRecipe(backbone=str(path), to=to, out=str(out)))
    given = {
        "torchvision": torchvision,
        "torch": torch,
        "YOUR_NETWORK": torchvision.models.resnet18(),
    }
    given["YOUR_NETWORK"].fc = torch.nn.Identity()
    exec(call, given)


def test_a_tensor_that_does_not_fit_is_not_counted(make, tmp_path):
    path, _, _ = make()
    out = export(backbone=path, to="smp", out=tmp_path / "b.pth")
    state = torch.load(out, weights_only=True)
    state["layer1.0.conv1.weight"] = torch.zeros(3)
    state["other"] = state.pop("bn1.bias")
    torch.save(state, out)
    settings = ExportRecipe(backbone=str(path), to="smp", out=str(out))
    assert loaded_share(settings) == (
        "118 of 120 tensors fit torchvision's resnet18, whose names smp has; "
        "not in the file, so fresh there: bn1.bias"
    )
