"""Whole runs of depth on tiny scenes, and what can be wrong."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detcon import transfer
from detcon.config import load_recipe, shipped_recipes
from detcon.data.labelled.examples import LabelError
from detcon.downstream.model_file import load_model
from detcon.downstream.recipe import TransferRecipe
from detcon.downstream.task import open_task
from detcon.downstream.tasks.depth.data import depth_split
from detcon.downstream.tasks.depth.network import NEAREST
from detcon.downstream.tasks.depth.recipe import DepthRecipe
from detcon.downstream.tasks.depth.scoring import score
from detcon.downstream.tasks.depth.task import Depth
from detcon.formats.errors import AnnotationError
from detcon.formats.registry import open_depth
from detcon.palette import depth_colours

SMALL = {
    "backbone": "random",
    "encoder": {"name": "resnet18", "width": 0.25, "zero_init": True},  # the rates are for it
    "format": "folder",
    "size": None,
    "task.crop": 48,
    "task.widths": [32, 16, 8, 8],
    "task.batch_size": 8,
    "task.steps": 40,
    "workers": 0,
    "loop": {"precision": "32", "accelerator": "cpu"},
}
FIGURES = ["delta1", "delta2", "delta3", "rms", "relative", "log10"]


def run(recipe, data, out, **options):
    path = f"recipes/transfer/{recipe}.yaml"
    (result,) = transfer(path, **(SMALL | {"data": str(data), "out": str(out)} | options))
    return result


def split(folder, name, **options):
    return depth_split(open_depth(folder, "folder", name), f"{name} of {folder}", **options)


def guesses(folder):
    """The score of the mean depth of all training pictures; of the mean of each of their pixels."""
    train, val = split(folder, "train"), split(folder, "val")
    depths = np.stack([train.read(i).labels for i in range(len(train.keys))])
    pictures = [val.read(i) for i in range(len(val.keys))]
    constant = score(lambda p: np.full(p.labels.shape, depths.mean()), pictures)
    return constant, score(lambda p: depths.mean(0), pictures)


def test_a_small_twin_beats_chance(scenes, tmp_path):
    """That of `nyu_depth`, with its other losses: `test_recipes.py`."""
    result = run("folder_depth", scenes, tmp_path / "run", **{"task.optimizer.lr": 0.005})
    base, _ = guesses(scenes)
    assert result.value > base.value + 15 and base.value < 40
    assert result.figures["rms"] < base.figures["rms"] and list(result.figures) == FIGURES
    assert (result.task, result.metric, result.unit) == ("depth", "delta1", "%")
    assert result.value == result.figures["delta1"] and result.per_class == {}

    folder = tmp_path / "run" / "seed0"
    model = load_model(folder)
    val = split(scenes, "val", whole=True)
    again = score(lambda p: model.predict(p.image), [val.read(i) for i in range(len(val.keys))])
    assert again.figures == pytest.approx(result.figures)
    photo = scenes / "val/images/000000.png"
    depth = model.predict(photo)
    assert depth.shape == (64, 64) and depth.dtype == np.float32 and depth.min() >= NEAREST

    strips = sorted((folder / "predictions").iterdir())
    assert len(strips) == 4
    parts = np.split(cv2.imread(str(strips[0]), cv2.IMREAD_COLOR_RGB), 3, axis=1)
    assert np.array_equal(parts[0], cv2.imread(str(photo), cv2.IMREAD_COLOR_RGB))
    assert np.array_equal(parts[1], depth_colours(val.read(0).labels))
    assert np.array_equal(parts[2], depth_colours(depth))


def test_depth_is_read_off_the_photo(blocks, tmp_path):
    """Here the place of a pixel says nothing, unlike in rooms, where the floor is below."""
    options = {"task.crop": 64, "task.colour.jitter": 0, "task.optimizer.lr": 0.005}
    result = run("folder_depth", blocks, tmp_path / "run", **options)
    assert result.value > 60 and max(guess.value for guess in guesses(blocks)) < 25


def test_predictions_are_judged_at_the_size_of_the_depth_map(scenes, tmp_path):
    options = {"size": 32, "task.crop": 32, "task.steps": 2, "task.head": "deconvolution"}
    result = run("folder_depth", scenes, tmp_path / "run", **options, **{"task.loss": "l1"})
    model = load_model(tmp_path / "run/seed0")
    val = split(scenes, "val", max_side=32, whole=True)
    photo = torch.from_numpy(val.read(0).image).permute(2, 0, 1)[None]
    with torch.inference_mode():
        cells = model.network.head(model.network.features(photo))
        expected = torch.nn.functional.interpolate(cells, size=(64, 64), mode="bilinear")
    torch.testing.assert_close(model.network.depths(photo, (64, 64)), expected[:, 0].clamp(1e-3))

    def predict(picture):
        photo = torch.from_numpy(picture.image).permute(2, 0, 1)[None]
        with torch.inference_mode():
            return model.network.depths(photo, (64, 64))[0].numpy()

    found = score(predict, [val.read(i) for i in range(len(val.keys))])
    assert found.figures == pytest.approx(result.figures)
    assert model.predict(scenes / "val/images/000000.png").shape == (64, 64)
    assert Depth(DepthRecipe()).truth(val.read(0)).shape == (32, 32)


def test_the_same_seed_gives_the_same_model(scenes, tmp_path):
    for name in ("a", "b"):
        run("folder_depth", scenes, tmp_path / name, **{"task.steps": 3})
    a, b = (load_model(tmp_path / name / "seed0").network.state_dict() for name in ("a", "b"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def damaged(scenes, tmp_path, name, depth):
    """The scenes, with another depth map."""
    data = Path(shutil.copytree(scenes, tmp_path / "data"))
    cv2.imwrite(str(data / name), depth)
    return data


@pytest.mark.parametrize(
    ("depth", "error", "message"),
    [
        (np.ones((64, 60), np.uint16), LabelError, "is 64 x 60 pixels, but its photo is 64 x 64"),
        (np.ones((64, 64), np.uint8), AnnotationError, r"7\.png is a PNG of 8 bits"),
        (np.ones((64, 64, 3), np.uint8), AnnotationError, "has the channels RGB"),
    ],
)
def test_a_depth_map_that_is_none(scenes, tmp_path, depth, error, message):
    data = damaged(scenes, tmp_path, "train/depth/000007.png", depth)
    with pytest.raises(error, match=message):
        run("folder_depth", data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_depth_in_another_unit(scenes, tmp_path, capsys):
    """KITTI's steps are 1/256 m: read as thousandths, 20 m look like 5.12 m."""
    data = Path(shutil.copytree(scenes, tmp_path / "data"))
    for path in data.glob("*/depth/*.png"):
        assert cv2.imwrite(str(path), np.full((64, 64), 20 * 256, np.uint16))
    settings = load_recipe(
        TransferRecipe,
        None,
        {"task": "depth", "task.unit": 1 / 256, "data": str(data), "out": "o", "backbone": "b"},
    )
    split = open_task(settings.task).open(settings, 3).train
    assert np.unique(split.read(0).labels).tolist() == [20]
    text = "depth of 8 training photos: 20 to 20 m, half of it below 20 m (task.unit=0.00390625)"
    assert capsys.readouterr().err == f"{text}\n"
    coarse = settings.model_copy(update={"task": settings.task.model_copy(update={"unit": 0.1})})
    open_task(coarse.task).open(coarse, 3)
    assert "below 512 m (task.unit=0.1), which is unlikely; give the" in capsys.readouterr().err
    nyu = settings.model_copy(update={"format": "nyu"})
    again = open_task(nyu.task).open(nyu, 3).train
    assert np.unique(again.read(0).labels).tolist() == [20], "its third form is such a folder"
    coco = settings.model_copy(update={"format": "coco"})
    with pytest.raises(LabelError, match="task.unit is for format=folder, nyu; format=coco knows"):
        open_task(coco.task).open(coco, 3)


def test_depth_maps_without_depth(scenes, tmp_path):
    data = Path(shutil.copytree(scenes, tmp_path / "data"))
    for path in (data / "val/depth").iterdir():
        cv2.imwrite(str(path), np.zeros((64, 64), np.uint16))
    with pytest.raises(
        LabelError, match=r"no pixel of the depth maps of all 8 validation photos was measured"
    ):
        run("folder_depth", data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_picture_without_depth_does_no_harm(scenes, tmp_path):
    data = damaged(scenes, tmp_path, "train/depth/000000.png", np.zeros((64, 64), np.uint16))
    result = run("folder_depth", data, tmp_path / "run", **{"task.steps": 4})
    assert all(np.isfinite(value) for value in result.figures.values())


def test_missing_depth(scenes, tmp_path):
    data = Path(shutil.copytree(scenes, tmp_path / "data"))
    shutil.rmtree(data / "val/depth")
    with pytest.raises(AnnotationError, match=r"there is no folder .*val/depth"):
        run("folder_depth", data, tmp_path / "run")


def test_near_is_bright_and_unknown_is_black():
    depth = np.array([[0.3, 1, 3, 10, 80, np.nan]], np.float32)
    colours = depth_colours(depth)[0].astype(int)
    brightness = colours @ [299, 587, 114]
    assert (np.diff(brightness[:5]) < 0).all() and brightness[4] > 10_000
    assert not colours[5].any()
    assert np.array_equal(depth_colours(depth[:, 2:3])[0, 0], colours[2])  # one scale for all


def test_the_nyu_recipe_is_the_protocol():
    """BYOL, appendix D.6."""
    path = shipped_recipes() / "transfer" / "nyu_depth.yaml"
    settings = load_recipe(TransferRecipe, path, {"data": "d", "out": "o", "backbone": "b"})
    assert (settings.task.kind, settings.size, settings.task.crop) == ("depth", 320, (228, 304))
    assert (settings.task.batch_size, settings.task.steps, settings.stride) == (256, 7500, 32)
    assert (settings.task.scale, settings.task.flip) == ((1.0, 1.0), 0.5)
    depth = settings.task
    assert (depth.head, depth.widths) == ("up_projection", (512, 256, 128, 64))
    assert (depth.loss, depth.place) == ("berhu", "centre")
    colour = depth.colour
    assert (colour.brightness, colour.saturation, colour.hue) == (0.1255, 0.5, 0.2)
    assert (colour.grey, colour.contrast, colour.blur, colour.jitter) == (0.3, 0, 0, 1)
    optimizer = settings.task.optimizer.model_dump()
    assert (optimizer["kind"], optimizer["lr"], optimizer["weight_decay"]) == ("sgd", 0.16, 5e-4)


def test_depth_that_16_bits_cant_hold_is_told(tmp_path, capsys):
    metres = np.array([[1.0, 80.0]], np.float32)
    Depth(DepthRecipe()).save(metres, "a.jpg", tmp_path, ())
    assert "depth above 65.535 m is written as 65.535 m" in capsys.readouterr().err
    assert cv2.imread(str(tmp_path / "depth/a.png"), -1).tolist() == [[1000, 65535]]
