"""Tests for the classification of whole photos: reading, cutting, learning, scoring."""

import math

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy

from detcon.config import RecipeError
from detcon.data.labelled.crops import LabelledBatch
from detcon.data.labelled.examples import Examples, LabelError
from detcon.downstream.model_file import ModelError, load_model
from detcon.downstream.tasks.probes import classification as classifier, linear
from detcon.downstream.tasks.probes.classification import (
    Classifier,
    centre_crop,
    centre_crops,
    classified,
    is_among_first,
    pool_photos,
    score,
)
from detcon.downstream.tasks.probes.linear import fit_linear
from detcon.downstream.tasks.probes.recipe import CentreRecipe, LinearClassificationRecipe
from detcon.downstream.transfer import transfer
from detcon.formats.errors import AnnotationError
from detcon.formats.format import ClassifiedPhotos
from detcon.formats.imagenet import open_class_folders
from detcon.models.recipe import Normalisation

SMALL = {
    "backbone": "random",
    "encoder": {"name": "resnet18", "width": 0.25},
    "loop": {"precision": "32", "accelerator": "cpu"},
}


def run(fruit, out, kind, centre=(36, 32), **options):
    task = {"kind": kind, "centre": {"shorter": centre[0], "side": centre[1]}}
    return transfer(**(SMALL | {"data": str(fruit), "out": str(out), "task": task} | options))


def test_reads_class_folders(fruit):
    train = open_class_folders(fruit, "train")
    assert isinstance(train, ClassifiedPhotos)
    assert train.names == ("blue", "green", "red") and len(train.keys) == 24
    assert train.label("red/00.png") == 2 and train.photo("red/00.png").shape[2] == 3
    assert train.photo("red/00.png", channels=1).shape[2] == 1


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((9, 9, 3), np.uint8))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r"there is no folder .*train; classified photos need train.CLASS"),
        (["train/a/1.png", "train/b/1.png"], "there is no folder .*val; classified"),
        (["train/a/1.png", "val/a/1.png"], r"train has 1 folders of classes, but at least two"),
        (["train/1.png", "val/1.png"], r"train aren't sorted into folders of classes"),
        (
            ["train/cat/1.png", "train/dog/1.png", "val/dog/1.png", "val/dogs/1.png"],
            r"a class .*val.dogs, but no .*train.dogs to learn it from; did you mean 'dog'",
        ),
        (
            ["train/a/1.png", "train/b/1.png", "train/2.png", "val/a/1.png", "val/b/1.png"],
            r"the photo .*train.2\.png lies in no folder of a class",
        ),
        (
            ["train/a/1.png", "train/b/.1.png", "val/a/1.png", "val/b/1.png"],
            r"there are no photos in the class .*train.b; add some",
        ),
        (
            ["train/images/1.png", "train/instances/1.png", "train/labels/1.png"],
            r"with labels and instances for each pixel, .* another task=, such as knn_segmentation",
        ),
        (
            ["train/images/1.png", "train/instances/1.png"],
            r"holds photos with instances for each pixel, .* another task=, such as detection, or",
        ),
        (
            ["train/images/1.png", "train/depth/1.png"],
            r"holds photos with depth for each pixel, .* give another task=, such as depth, or an",
        ),
    ],
)
def test_says_what_is_wrong_with_class_folders(tmp_path, files, message):
    for name in files:
        photo(tmp_path / name)
    with pytest.raises(AnnotationError, match=message):
        [open_class_folders(tmp_path, split) for split in ("train", "val")]


def test_val_may_lack_a_class(tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "train/c/1.png", "val/a/1.png", "val/c/1.png"):
        photo(tmp_path / name)
    val = open_class_folders(tmp_path, "val")
    assert val.names == ("a", "b", "c") and val.label("c/1.png") == 2


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (32, 32), (7, 300), (333, 41)])
def test_a_centre_crop_is_the_middle_of_the_photo_whatever_its_size(size):
    ramp = np.indices(size)[:, ..., None].astype(np.float64)
    scaled = 250 * (ramp + 0.5) / np.array(size).reshape(2, 1, 1, 1)
    photo = np.concatenate([*scaled, scaled[0]], axis=-1).astype(np.uint8)
    crop = centre_crop(photo, CentreRecipe(shorter=32, side=24))
    assert crop.shape == (24, 24, 3)
    np.testing.assert_allclose(crop[..., :2].mean((0, 1)), 125, atol=4)


def test_a_side_that_does_not_fit(fruit, tmp_path):
    with pytest.raises(RecipeError, match=r"centre\.side=40 doesn't fit into centre\.shorter=36"):
        run(fruit, tmp_path / "run", "knn_classification", centre=(36, 40))


class Colours(nn.Module):
    """A stand-in for an encoder: the photo's colours themselves."""

    def forward(self, images):
        return images


def stand_in(head=None):
    bytes_as_they_are = Normalisation(mean=(0.0,) * 3, std=(1 / 255,) * 3)
    centre = CentreRecipe(shorter=32, side=32)
    return Classifier(Colours(), head or nn.Identity(), bytes_as_they_are, centre).eval()


def split(fruit, part):
    found = classified(open_class_folders(fruit, part))
    return Examples(found, range(len(found.keys)))


@pytest.mark.parametrize("workers", [0, 2])
def test_pooled_features_of_photos_and_their_mirror_images(fruit, workers):
    train, network = split(fruit, "train"), stand_in()
    features, labels = pool_photos(network, train, mirrored=False, workers=workers)
    assert labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    crop = centre_crop(train[3].image, network.centre)
    np.testing.assert_allclose(features[3], crop.mean((0, 1)), rtol=1e-5)
    both, twice = pool_photos(network, train, mirrored=True, workers=workers)
    assert len(both) == len(twice) == 48 and torch.equal(both[24:].mean(0), both[:24].mean(0))


def test_says_when_features_do_not_fit(fruit, monkeypatch):
    monkeypatch.setattr(classifier, "MEMORY", 100)
    with pytest.raises(LabelError, match="the features of all labelled photos need more than"):
        pool_photos(stand_in(), split(fruit, "train"), mirrored=False)


def test_the_linear_solution_is_a_minimum_and_chunks_do_not_change_it(monkeypatch):
    torch.manual_seed(0)
    features = 5 * torch.randn(60, 6) + 3
    labels = torch.randint(0, 3, (60,))
    recipe = LinearClassificationRecipe(weight_decay=1e-2, iterations=1000)
    layer = fit_linear(features.clone(), labels, 3, recipe)
    std = features.std(0, correction=0)
    weight, bias = (p.clone().requires_grad_() for p in (layer.weight, layer.bias))
    loss = cross_entropy(features @ weight.T + bias, labels)
    (loss + 1e-2 * (weight * std).square().sum()).backward()
    assert (weight.grad / std).abs().max() < 1e-4 and bias.grad.abs().max() < 1e-4
    monkeypatch.setattr(linear, "ROWS", 7)
    chunked = fit_linear(features.clone(), labels, 3, recipe)
    torch.testing.assert_close(chunked.weight, layer.weight, atol=1e-3, rtol=1e-3)


def test_among_the_first():
    scores = torch.tensor([[3.0, 2, 1], [0, 0, 1], [math.nan] * 3])
    labels = torch.tensor([1, 0, 0])
    assert is_among_first(scores, labels, 1).tolist() == [False, False, False]
    assert is_among_first(scores, labels, 2).tolist() == [True, False, False], "a tie is a miss"
    assert is_among_first(scores, torch.tensor([0, 2, 2]), 1).tolist() == [True, True, False]


def test_accuracy_is_a_count():
    class Scores(nn.Module):
        def forward(self, pooled):
            return pooled @ torch.eye(3, 7) + torch.linspace(0, 1e-3, 7)

    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    for i, channel in enumerate((0, 0, 1, 2)):
        images[i, channel] = 200
    batch = LabelledBatch(images, torch.tensor([0, 1, 1, 6]), torch.arange(4))
    reached = score(stand_in(Scores()), [batch, batch], tuple("abcdefg"))
    assert reached.value == 50 and reached.figures == {"top-5": 75.0}  # 6 is second, 0 comes last
    assert reached.per_class == {**dict.fromkeys("cdef"), "a": 100, "b": 50, "g": 0}


@pytest.mark.parametrize("task", ["linear_classification", "knn_classification"])
def test_beats_chance_and_the_model_can_be_used(fruit, tmp_path, task):
    (result,) = run(fruit, tmp_path / "run", task)
    assert result.value > 80 and result.metric == "accuracy"  # chance: 33
    assert set(result.per_class) == {"blue", "green", "red"} and not result.figures
    assert result.steps == (200 if task == "linear_classification" else 0)
    model = load_model(tmp_path / "run/seed0")
    val = split(fruit, "val")
    right = [model.predict(fruit / "val" / item.key) == item.labels for item in val]
    assert 100 * np.mean(right) == pytest.approx(result.value)
    strips = sorted((tmp_path / "run/seed0/predictions").iterdir())
    assert [path.name for path in strips[:2]] == ["blue_00.png", "blue_03.png"]
    strip = cv2.imread(str(strips[0]))
    assert strip.shape == (val[0].image.shape[0], 3 * val[0].image.shape[1], 3)


def test_the_same_labels_give_the_same_model(fruit, tmp_path):
    options = {"labels": 9, "seed": 3}
    for name in ("a", "b"):
        run(fruit, tmp_path / name, "knn_classification", **options)
    first, second = ((tmp_path / n / "seed3/model.safetensors") for n in ("a", "b"))
    a, b = load_model(first).network.head, load_model(second).network.head
    assert a.features.shape == (9, 128) and torch.equal(a.features, b.features)


def test_a_model_of_another_network_is_named(fruit, tmp_path):
    run(fruit, tmp_path / "run", "knn_classification")
    path = tmp_path / "run/seed0/model.safetensors"
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    state = load_file(path)
    save_file(state | {"head.features": state["head.features"][:, :5].clone()}, path, about)
    with pytest.raises(ModelError, match="doesn't fit the network it names"):
        load_model(path)


def test_batches_come_in_order(fruit):
    batches = list(centre_crops(split(fruit, "val"), CentreRecipe(shorter=16, side=8), title="x"))
    assert torch.cat([b.labels for b in batches]).tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert batches[0].images.shape == (12, 3, 8, 8)


def test_photos_of_one_class_alone(fruit, tmp_path):
    """With one label there is nothing to tell its class from; no figure comes of it."""
    for kind in ("linear_classification", "knn_classification"):
        with pytest.raises(LabelError, match=r"all 1 training photos are of one class, \w+, but"):
            run(fruit, tmp_path / "run", kind, labels=1)
    assert not (tmp_path / "run").exists()
