"""Tests for task.function=module:Task: a transfer task of the user's, in this file."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from detcon.config import RecipeError
from detcon.data.labelled.examples import LabelledData, LabelledSplit, keep
from detcon.downstream.model_file import ModelError, load_model
from detcon.downstream.network import Network
from detcon.downstream.predicting import predict
from detcon.downstream.task import Score
from detcon.downstream.transfer import transfer
from detcon.formats.registry import open_classes

NAME = f"{__name__}:Colours"
SMALL = {"backbone": "random", "encoder": {"name": "resnet18", "width": 0.25}}


@dataclass(frozen=True)
class Colours:
    """The class of a photo, by least squares on pooled features."""

    penalty: float = 1.0
    objects = None

    def open(self, settings, channels):
        photos = [open_classes(settings.data, "folder", part) for part in ("train", "val")]
        splits = (LabelledSplit(one, classified, keep, None, channels) for one in photos)
        return LabelledData(*splits, names=photos[0].names)

    def check(self, train, val, names):
        assert len(train) and len(val) and len(names) == 3

    def build(self, settings, backbone, names):
        head = nn.Linear(backbone.channels, len(names))
        return Network(backbone.encoder, head, backbone.normalisation)

    @torch.no_grad()
    def learn(self, settings, network, train, folder):
        assert not network.training
        x = torch.stack([pooled(network, example.image) for example in train])
        y = torch.eye(3)[[example.labels for example in train]]
        spread = x - x.mean(0)
        square = spread.T @ spread + self.penalty * torch.eye(x.shape[1])
        network.head.weight[:] = torch.linalg.solve(square, spread.T @ (y - y.mean(0))).T
        network.head.bias[:] = y.mean(0) - network.head.weight @ x.mean(0)

    def score(self, settings, network, val, names):
        found = self.predict(network, [example.image for example in val])
        right = [one == example.labels for one, example in zip(found, val, strict=True)]
        figures: dict[str, float | None] = {"penalty": self.penalty}
        return Score("right photos", 100 * sum(right) / len(right), figures=figures)

    @torch.no_grad()
    def predict(self, network, photos):
        return [int(network.head(pooled(network, photo)).argmax()) for photo in photos]

    def truth(self, example):
        return example.labels

    def draw(self, photo, prediction, names):
        return photo

    def enlarge(self, prediction, size):
        return prediction

    def save(self, prediction, key, folder, names):
        return names[prediction]

    def finish(self, rows, folder, names):
        (folder / "colours.json").write_text(json.dumps(rows))


class Halfway:
    objects = None

    def open(self, settings, channels):
        raise AssertionError


def classified(photos, key, channels):
    return photos.photo(key, channels), photos.label(key)


@torch.no_grad()
def pooled(network, photo):
    return network.features(torch.from_numpy(photo)[None].permute(0, 3, 1, 2)).mean((0, 2, 3))


def run(fruit, out, **options):
    task = {"kind": "own", "function": NAME, "options": options}
    return transfer(task=task, data=fruit, out=out, **SMALL)


def test_learns_scores_and_predicts_as_the_packages_own_tasks(fruit, tmp_path):
    (result,) = run(fruit, tmp_path / "run")
    assert (result.task, result.metric) == (NAME, "right photos")
    assert result.value > 60 and result.figures == {"penalty": 1.0}  # by chance: 33
    photos = fruit / "val"
    folder = predict(model=tmp_path / "run/seed0", images=photos, out=tmp_path / "found", task=NAME)
    rows = json.loads((folder / "colours.json").read_text())
    model = load_model(tmp_path / "run/seed0", task=NAME)
    assert rows == {
        path.relative_to(photos).as_posix(): model.names[model.predict(path)]
        for path in photos.glob("*/*")
    }
    for form in ("coco", "folder"):
        sentence = f"test_own:Colours finds no objects to write as {form}; leave format out"
        with pytest.raises(ValueError, match=sentence):
            predict(model=tmp_path / "run/seed0", images=photos, out="o", task=NAME, format=form)


def test_options_are_the_tasks_and_part_of_its_recipe(fruit, tmp_path):
    (strong,), (weak,) = (run(fruit, tmp_path / str(p), penalty=p) for p in (1e9, 1.0))
    assert (strong.figures, weak.figures) == ({"penalty": 1e9}, {"penalty": 1.0})
    assert strong.recipe != weak.recipe


def test_a_model_file_runs_no_code_that_it_names_itself(fruit, tmp_path):
    run(fruit, tmp_path)
    with pytest.raises(ModelError, match=r"code, which isn't run because a file names it; .*task="):
        load_model(tmp_path / "seed0")
    with pytest.raises(ModelError, match=rf"is a model of {NAME}, but task=mine:Other was given"):
        load_model(tmp_path / "seed0", task="mine:Other")


@pytest.mark.parametrize(
    ("function", "options", "sentence"),
    [
        ("Colours", {}, "task.function=Colours doesn't name a function; write package.module"),
        ("nowhere:T", {}, "cannot import task.function=nowhere:T: No module named 'nowhere'; if"),
        (f"{__name__}:Coluors", {}, "has no attribute 'Coluors'; check the name"),
        (NAME, {"penatly": 1}, r"can't be called with \{'penatly': 1\}: .* unexpected keyword"),
        (f"{__name__}:Halfway", {}, "makes a Halfway, which lacks check, build, learn, score, pr"),
    ],
)
def test_says_what_is_no_task(fruit, tmp_path, function, options, sentence):
    task = {"kind": "own", "function": function, "options": options}
    with pytest.raises(ValueError, match=sentence):
        transfer(task=task, data=fruit, out=tmp_path / "out", **SMALL)
    assert not Path(tmp_path / "out").exists()


def test_needs_the_name_of_the_class(fruit, tmp_path):
    with pytest.raises(RecipeError, match=r"task\.function' is missing; give task\.function="):
        transfer(task="own", data=fruit, out=tmp_path, **SMALL)
