"""Plain transformers and ConvNeXt the whole way: masks, pretraining, three tasks, out again."""

import json

import cv2
import pytest
import timm
import torch
from toys import write_toys

import detcon
from detcon.downstream.model_file import load_model
from detcon.downstream.tasks.detection.mask_rcnn import build_detector
from detcon.downstream.tasks.detection.recipe import DetectorRecipe
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.models.simple_pyramid import SimpleFeaturePyramid

CPU = {"precision": "32", "accelerator": "cpu"}
DETECTOR = {"anchor": 4, "channels": 16, "hidden": 24, "mask_layers": 1}
DETECTOR |= {"proposals": 20, "rpn_batch": 32, "box_batch": 16}
TASKS = {
    "segmentation": {"crop": 40, "scale": [0.8, 1.25], "head_channels": 8, "dilation": 1},
    "depth": {"crop": 56, "widths": [8], "head": "pyramid"},
    "detection": {"crop": 64, "detector": DETECTOR},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Photos of 64 pixels with classes, depth and objects; their masks; one photo of odd sides."""
    root = tmp_path_factory.mktemp("toys")
    for format in ("folder", "coco"):
        write_toys(root / format, format, num_train=6, num_val=2)
    photos = root / "folder" / "train" / "images"
    detcon.make_masks(
        images=photos, out=root / "masks", workers=1, generator={"kind": "grid", "rows": 2}
    )
    (root / "odd").mkdir()
    photo = cv2.imread(str(next(photos.iterdir())))
    assert cv2.imwrite(str(root / "odd" / "photo.png"), photo[:50, :61])
    return root


@pytest.mark.parametrize("name", ["test_vit", "test_convnext"])
def test_the_whole_way(data, tmp_path, name):
    backbone = detcon.pretrain(
        images=data / "folder" / "train" / "images",
        masks=data / "masks",
        out=tmp_path / "pretrained",
        method={"kind": "detcon_s", "hidden": 16, "outputs": 8},
        encoder={"name": name, "drop_path": 0.2},
        views={"size": 48},
        optimizer={"kind": "adamw", "lr": 1e-3, "layer_decay": 0.8},
        batch_size=4,
        steps=2,
        workers=0,
        loop={**CPU, "recompute": True},
    )
    fresh = build_encoder(EncoderRecipe(name=name)).body.state_dict()
    learnt = detcon.load_backbone(backbone)
    assert learnt.match.is_full and learnt.recipe.drop_path == 0
    assert learnt.encoder.body.state_dict().keys() == fresh.keys()

    for kind, settings in TASKS.items():
        task = {"kind": kind, "batch_size": 2, "steps": 2, "drop_path": 0.1, **settings}
        detcon.transfer(
            backbone=backbone,
            data=data / ("coco" if kind == "detection" else "folder"),
            format="coco" if kind == "detection" else "folder",
            out=tmp_path / kind,
            task=task,
            loop=CPU,
        )
        run, found = tmp_path / kind / "seed0", tmp_path / f"{kind}_of_odd"
        if kind == "detection":
            pyramid = load_model(run).network.head.fpn
            assert isinstance(pyramid, SimpleFeaturePyramid) == ("vit" in name)
        again = detcon.load_backbone(run / "backbone.safetensors")
        assert again.encoder.body.state_dict().keys() == fresh.keys(), "no layer of the pyramid"
        detcon.predict(model=run, images=data / "odd", out=found)
        if kind == "detection":
            objects = json.loads((found / "predictions.json").read_text())
            assert all(one["segmentation"]["size"] == [50, 61] for one in objects)
        else:
            folder = {"segmentation": "labels", "depth": "depth"}[kind]
            assert cv2.imread(str(found / folder / "photo.png")).shape == (50, 61, 3)

    out = detcon.export(backbone=backbone, to="timm", out=tmp_path / "timm.pth")
    theirs = timm.create_model(name, num_classes=0, **_any_size(name)).eval()
    report = theirs.load_state_dict(torch.load(out, weights_only=True), strict=False)
    assert not report.unexpected_keys
    assert all("norm" in missing for missing in report.missing_keys) and not (
        "vit" in name and report.missing_keys
    )
    x = torch.randn(2, 3, 64, 96)
    features = theirs.forward_features(x)
    if "vit" in name:
        features = features[:, theirs.num_prefix_tokens :].mT.unflatten(2, (4, 6))
    torch.testing.assert_close(learnt.encoder.eval()(x), features)


def _any_size(name):
    return {"dynamic_img_size": True} if "vit" in name else {}


def test_detectors_take_patches_of_14_pixels_for_cells_of_16():
    """Levels of 4 to 64 pixels a cell, whatever the patches, so that anchors and regions fit."""
    options = DetectorRecipe(**DETECTOR)
    grids = {}
    for name in ("vit_tiny_patch16_224", "eva02_tiny_patch14_224"):
        torch.manual_seed(0)
        encoder = build_encoder(EncoderRecipe(name=name))
        network = build_detector(encoder, Normalisation(), 2, options, size=128).eval()
        levels = network.levels(torch.zeros(1, 3, 128, 128, dtype=torch.uint8))
        grids[name] = {level: tuple(grid.shape) for level, grid in levels.items()}
        state, own = network.encoder.state_dict(), encoder.state_dict()
        assert all(torch.equal(state[key], own[key]) for key in own) and state.keys() == own.keys()
    sides = dict(zip(["0", "1", "2", "3", "pool"], [32, 16, 8, 4, 2], strict=True))
    expected = {level: (1, 16, side, side) for level, side in sides.items()}
    assert grids == dict.fromkeys(grids, expected)


def test_a_simple_pyramid_of_each_stride():
    for stride, cells in ((8, 8), (14, 4), (16, 4), (32, 2)):
        torch.manual_seed(0)
        pyramid = SimpleFeaturePyramid(16, 8, stride).eval()
        grids = pyramid(torch.randn(1, 16, cells, cells))
        assert [tuple(grid.shape) for grid in grids] == [(1, 8, n, n) for n in (16, 8, 4, 2)]
        assert all(grid.isfinite().all() and grid.std() > 0.1 for grid in grids)


def test_the_pyramid_is_vitdets():
    """Step by step as section 3 of the paper has it, for a grid of 16 pixels a cell."""
    torch.manual_seed(0)
    pyramid, grid = SimpleFeaturePyramid(8, 4, 16), torch.randn(1, 8, 4, 4)

    def norm(x, layer):
        mean, var = x.mean(1, keepdim=True), x.var(1, correction=0, keepdim=True)
        scaled = (x - mean) / (var + 1e-6).sqrt()
        return scaled * layer.weight[:, None, None] + layer.bias[:, None, None]

    def smooth(x, one, first, three, second):
        x = norm(torch.nn.functional.conv2d(x, one.weight), first)
        return norm(torch.nn.functional.conv2d(x, three.weight, padding=1), second)

    def double(x, layer):
        return torch.nn.functional.conv_transpose2d(x, layer.weight, layer.bias, stride=2)

    quarter, half, same, twice = pyramid.levels
    finest = torch.nn.functional.gelu(norm(double(grid, quarter[0]), quarter[1]))
    expected = [
        smooth(double(finest, quarter[3]), *quarter[4:]),
        smooth(double(grid, half[0]), *half[1:]),
        smooth(grid, *same),
        smooth(torch.nn.functional.max_pool2d(grid, 2), *twice[1:]),
    ]
    torch.testing.assert_close(pyramid(grid), expected, rtol=1e-4, atol=1e-5)
