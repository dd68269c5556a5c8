"""Tests of the figures without labels: their regions, and that measuring changes nothing."""

import itertools
import re

import cv2
import numpy as np
import pytest
import torch

from detcon.data.recipe import ViewsRecipe
from detcon.downstream import label_free
from detcon.downstream.label_free import LabelFreeFigures
from detcon.downstream.recipe import LabelFreeRecipe
from detcon.masks import Masks
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.ops.label_free import nearest_neighbours, rankme, shared_neighbours
from detcon.photos import open_photos
from detcon.scenes.raycast import render_scene

ENCODER = EncoderRecipe(name="resnet18", width=0.125, stride=16)
FEW = LabelFreeRecipe(photos=5, views=2, neighbours=3)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(6):
        photo = render_scene(seed=1, index=i, size=48).rgb
        cv2.imwrite(str(folder / f"{i}.png"), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
    return open_photos(folder)


@pytest.fixture(scope="module")
def masks():
    """Four quarters of each photo."""
    labels = np.kron(np.arange(4, dtype=np.int16).reshape(2, 2), np.ones((24, 24), np.int16))
    return {f"{i}.png": Masks.from_labels(labels) for i in range(6)}


@pytest.fixture(scope="module")
def encoders():
    torch.manual_seed(0)
    return [build_encoder(ENCODER).eval() for _ in range(2)]


def figures(photos, masks, start, recipe=FEW):
    options = {"views": ViewsRecipe(size=32), "normalisation": Normalisation(), "seed": 0}
    return LabelFreeFigures(recipe, ENCODER, start=start, photos=photos, masks=masks, **options)


@torch.no_grad()
def pooled(photos, encoder, numbers):
    """The mean of the features of each quarter of each photo, in loops."""
    mean, std = (
        torch.tensor(v)[:, None, None] for v in (Normalisation().mean, Normalisation().std)
    )
    rows = []
    for number in numbers:
        photo = cv2.resize(photos.read(f"{number}.png"), (32, 32), interpolation=cv2.INTER_CUBIC)
        image = (torch.from_numpy(photo).permute(2, 0, 1) / 255 - mean) / std
        grid = encoder(image[None])[0]  # 2 x 2 cells: one a quarter
        rows += [grid[:, y, x] for y in range(2) for x in range(2)]
    return torch.stack(rows)


def test_regions_are_pooled_from_whole_photos(photos, masks, encoders):
    start, other = encoders
    ours = figures(photos, masks, start, FEW.model_copy(update={"photos": 6}))
    assert ours.measure(start)["start_agreement"] == 1
    found = ours.measure(other)
    groups = torch.arange(6).repeat_interleave(4)
    rows = [pooled(photos, encoder, range(6)) for encoder in encoders]
    one, two = (nearest_neighbours(each, groups, num=3) for each in rows)
    assert 0 < found["start_agreement"] < 1
    assert found["start_agreement"] == pytest.approx(shared_neighbours(one, two), abs=0.03)
    assert found["rankme"] == pytest.approx(rankme(rows[1]), rel=1e-4)
    assert 1 < found["lidar"] < 24


def test_measuring_again_gives_the_same_and_leaves_the_encoder_alone(photos, masks, encoders):
    start, other = encoders
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    other.layer1.train()
    modes = [part.training for part in other.modules()]
    first = figures(photos, masks, start).measure(other)
    assert [part.training for part in other.modules()] == modes
    assert all(torch.equal(t, before[name]) for name, t in other.state_dict().items())
    assert figures(photos, masks, start).measure(other) == first, "as after a resumed run"


def test_without_masks_regions_are_cells(photos, encoders):
    found = figures(photos, None, encoders[0]).measure(encoders[1])
    assert set(found) == {"start_agreement", "rankme", "lidar"}
    assert 0 < found["start_agreement"] < 1 and found["lidar"] < 5, "whole views are the classes"


def test_photos_without_regions_give_no_figures(photos, encoders):
    none = {f"{i}.png": Masks.from_labels(np.full((48, 48), -1, np.int16)) for i in range(6)}
    assert figures(photos, none, encoders[0]).measure(encoders[1]) == {}
    none["0.png"] = Masks.from_labels(np.zeros((48, 48), np.int16))
    assert figures(photos, none, encoders[0]).measure(encoders[1]) == {}


def test_features_that_are_not_finite_have_no_rank(photos, masks, encoders):
    broken = build_encoder(ENCODER)
    broken.load_state_dict(encoders[0].state_dict())
    torch.nn.init.constant_(broken.layer4[1].bn2.bias, torch.inf)
    assert set(figures(photos, masks, encoders[0]).measure(broken)) <= {"start_agreement"}


def test_what_a_training_waits_for_is_named(photos, masks, encoders, monkeypatch, capsys):
    """Where there is no terminal by a line after some seconds, and then one a minute."""
    monkeypatch.setattr(label_free, "_BATCH", 1)
    measured = figures(photos, masks, encoders[0])
    measured.measure(encoders[1])
    assert capsys.readouterr().err == "", "it was quick"
    clock = itertools.count(0.0, 0.4)  # read once for each view, and where a line is written
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    measured.measure(encoders[1])
    said = capsys.readouterr().err
    assert re.fullmatch(r"figures without labels: \d+/15 views · 0:00:0\d left\n", said), said
