"""Tests for detcon.downstream.transfer: whole runs on tiny data."""

import itertools
import json
import os
import re
import shutil
import signal
import statistics
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from downstream_squares import SMALL, SMALL_TASK
from safetensors.torch import load_file

from detcon import cli
from detcon.config import RecipeError, load_recipe
from detcon.data.labelled.examples import Examples, LabelError, LabelledSplit, keep
from detcon.downstream import training, transfer as grid
from detcon.downstream.cell import build_network
from detcon.downstream.model_file import load_model
from detcon.downstream.network import FeaturesError
from detcon.downstream.recipe import TransferRecipe
from detcon.downstream.task import open_task
from detcon.downstream.transfer import transfer
from detcon.formats.errors import AnnotationError
from detcon.models.backbone_file import BackboneError, Normalisation, load_backbone, save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe
from detcon.palette import class_colours
from detcon.photos import Names, Photos, open_photos
from detcon.results import RunError
from detcon.results.result import Result, read_result, write_result
from detcon.train.stop import AGAIN

OWN = {"steps", "optimizer"}


def run(squares, out, **options):
    """Settings of the task by their own name, as `steps=3`."""
    own = {name: options.pop(name) for name in OWN & options.keys()}
    task = {**SMALL_TASK, **own} if "task" not in options else options.pop("task")
    return transfer(**(SMALL | {"data": str(squares), "out": str(out), "task": task} | options))


def weights(folder):
    return load_file(Path(folder) / "backbone.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_fine_tuning_beats_chance_and_leaves_everything_behind(squares, tmp_path, capsys):
    (result,) = run(squares, tmp_path / "run", steps=50)
    assert result.value > 55  # all ground: about 22
    assert set(result.per_class) == {"ground", "red", "blue"}
    assert (result.task, result.metric, result.unit) == ("segmentation", "mIoU", "%")
    assert (result.steps, result.labels, result.backbone) == (50, None, "random")
    assert result.versions["torch"] and result.seconds > 0 and len(result.recipe) == 12
    folder = tmp_path / "run" / "seed0"
    assert read_result(folder) == result
    assert "mIoU" in capsys.readouterr().out
    loaded = load_backbone(folder / "backbone.safetensors")
    assert loaded.recipe == EncoderRecipe(name="resnet18", width=0.25, stride=8, zero_init=True)
    strips = sorted((folder / "predictions").iterdir())
    assert [path.name for path in strips] == ["00.png", "01.png", "02.png", "04.png"]
    strip = cv2.imread(str(strips[0]), cv2.IMREAD_COLOR_RGB)
    photo, truth, prediction = np.split(strip, 3, axis=1)
    val = squares / "val"
    assert np.array_equal(photo, cv2.imread(str(val / "images/00.png"), cv2.IMREAD_COLOR_RGB))
    labels = cv2.imread(str(val / "labels/00.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(truth, class_colours()[labels])
    assert (prediction == truth)[2:].all(-1).mean() > 0.6


def test_the_probe_beats_chance_and_leaves_the_encoder_alone(squares, tmp_path):
    encoder = build_encoder(EncoderRecipe(name="resnet18", width=0.25))
    recipe = EncoderRecipe(name="resnet18", width=0.25)
    save_backbone(tmp_path / "b.safetensors", encoder, recipe, normalisation=Normalisation())
    (result,) = run(
        squares,
        tmp_path / "run",
        task="linear_segmentation",
        backbone=str(tmp_path / "b.safetensors"),
        encoder=None,
    )
    assert result.value > 40 and result.task == "linear_segmentation"
    assert result.backbone_sha256 and len(result.backbone_sha256) == 64
    assert same(weights(tmp_path / "run/seed0"), load_file(tmp_path / "b.safetensors"))


def test_neighbours_beat_chance_and_the_model_remembers_them(squares, tmp_path):
    options = {"task": {"kind": "knn_segmentation", "k": 5, "bank": 100}, "labels": 10}
    (result,) = run(squares, tmp_path / "run", **options)
    assert result.value > 40 and result.task == "knn_segmentation" and result.steps == 0
    model = load_model(tmp_path / "run/seed0")
    assert model.network.head.features.shape == (100, 128)
    predicted = model.predict(squares / "val/images/00.png")
    strip = cv2.imread(str(tmp_path / "run/seed0/predictions/00.png"), cv2.IMREAD_COLOR_RGB)
    assert np.array_equal(class_colours()[predicted], strip[:, 64:])


def test_another_setting_leads_to_the_folder_of_all_cells(squares, tmp_path):
    """Removed cell by cell, each next one would be refused."""
    task, out = {"kind": "knn_segmentation", "k": 5, "bank": 100}, tmp_path / "run"
    run(squares, out, task=task, labels=10)
    with pytest.raises(RunError, match=rf"task.k is 5 there and 3 now; .*, or remove {out}$"):
        run(squares, out, task=task | {"k": 3}, labels=10)


def test_fine_tuning_starts_from_the_backbone(squares, tmp_path):
    """With a rate of next to nothing the encoder that comes out is the one that went in."""
    recipe = EncoderRecipe(name="resnet18", width=0.25)
    encoder = build_encoder(recipe)
    save_backbone(tmp_path / "b.safetensors", encoder, recipe, normalisation=Normalisation())
    optimizer = {"kind": "sgd", "lr": 1e-12, "weight_decay": 0}
    options = {"backbone": str(tmp_path / "b.safetensors"), "encoder": None}
    run(squares, tmp_path / "run", steps=2, optimizer=optimizer, **options)
    before, after = load_file(tmp_path / "b.safetensors"), weights(tmp_path / "run/seed0")
    for name, tensor in before.items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(after[name], tensor)


def test_a_partial_backbone_is_taken_where_asked_for(squares, tmp_path, capsys):
    recipe = EncoderRecipe(name="resnet18", width=0.25)
    state = {f"module.encoder_q.{n}": t for n, t in build_encoder(recipe).state_dict().items()}
    del state["module.encoder_q.layer3.1.bn2.weight"]
    torch.save({"state_dict": state}, tmp_path / "moco.pth")
    options = {"backbone": str(tmp_path / "moco.pth"), "encoder": None, "steps": 1}
    with pytest.raises(BackboneError, match=r"first layer3\.1\.bn2\.weight"):
        run(squares, tmp_path / "run", **options)
    run(squares, tmp_path / "run", backbone_partial=True, **options)
    assert "1 (layer3.1.bn2.weight) missing" in capsys.readouterr().err


def test_seeds_differ_and_finished_ones_are_not_run_again(squares, tmp_path, monkeypatch):
    first = run(squares, tmp_path / "run", steps=3, seeds=2, labels=4)
    assert [result.seed for result in first] == [0, 1]
    assert not same(weights(tmp_path / "run/seed0"), weights(tmp_path / "run/seed1"))
    monkeypatch.setattr(training, "fit", None)  # would be called
    assert run(squares, tmp_path / "run", steps=3, seeds=2, labels=4) == first
    assert run(squares, tmp_path / "run", steps=3, seed=1, labels=4) == first[1:]


def fresh_weights(seed, folder):
    settings = load_recipe(TransferRecipe, None, SMALL | {"data": folder, "out": "o", "seed": seed})
    task = open_task(settings.task)
    backbone, network = build_network(settings, task, lambda _: (task.open(settings, 3), None))
    return [backbone.encoder.state_dict()["conv1.weight"], *network.head.state_dict().values()]


def test_the_seed_draws_the_fresh_weights(squares):
    first, other, again = (fresh_weights(seed, squares) for seed in (0, 1, 0))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for i in (0, 1):  # of the encoder, of the head
        assert not torch.equal(first[i], other[i])


def test_resuming_gives_the_same_weights(squares, tmp_path, monkeypatch):
    options = {"steps": 6, "loop": {"precision": "32", "accelerator": "cpu", "checkpoint_every": 1}}
    run(squares, tmp_path / "whole", **options)
    fit = training.fit

    def interrupted(model, open_batches, **settings):
        def few(first_step):
            for i, batch in enumerate(open_batches(first_step)):
                if i == 3:
                    raise KeyboardInterrupt
                yield batch

        fit(model, few, **settings)

    monkeypatch.setattr(training, "fit", interrupted)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(squares, tmp_path / "parts", **options)
    monkeypatch.setattr(training, "fit", fit)
    (result,) = run(squares, tmp_path / "parts", **options)
    assert same(weights(tmp_path / "whole/seed0"), weights(tmp_path / "parts/seed0"))
    assert result.value == read_result(tmp_path / "whole/seed0").value


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, AGAIN), (signal.SIGUSR1, AGAIN), (signal.SIGINT, 130)]
)
def test_a_signal_between_trainings_is_obeyed_and_told(
    number, code, squares, tmp_path, monkeypatch, capsys
):
    """A probe has no training loop that would note it: schedulers ended it without a word."""
    words = ["task=knn_segmentation", f"data={squares}", f"out={tmp_path}", "seeds=3", "stride=8"]
    words += ["backbone=random", "encoder.name=resnet18", "encoder.width=0.25", "size=16"]
    run_cell = grid.run_cell

    def signalled(settings, *rest):
        if settings.seed == 1:
            os.kill(os.getpid(), number)
            time.sleep(60)
        return run_cell(settings, *rest)

    def unnoticed(*_):
        raise AssertionError("the signal would have ended the process")

    monkeypatch.setattr(grid, "run_cell", signalled)
    monkeypatch.setattr(sys, "argv", ["detcon", "transfer", *words, "loop.accelerator=cpu"])
    usual = signal.default_int_handler if code == 130 else unnoticed  # a background job ignores it
    before = signal.signal(number, usual)
    try:
        with pytest.raises(SystemExit) as end:
            cli.main()
    finally:
        signal.signal(number, before)
    assert end.value.code == code
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "1 of 3 results are kept",
        "detcon: interrupted; give the same command again to go on",
    ]


def test_a_grid_of_backbones_and_labels(squares, tmp_path, capsys):
    recipe = EncoderRecipe(name="resnet18", width=0.25)
    path = tmp_path / "runs/mine/backbone.safetensors"
    save_backbone(path, build_encoder(recipe), recipe, normalisation=Normalisation())
    options = {"task": "knn_segmentation", "backbone": f"{path},random", "labels": "2,all"}
    results = run(squares, tmp_path / "grid", seeds=2, **options)
    assert [(r.backbone, r.labels, r.seed) for r in results] == [
        (b, n, s) for b in (str(path), "random") for n in (2, None) for s in (0, 1)
    ]
    assert (tmp_path / "grid/mine/labels2/seed1/result.json").is_file()
    assert (tmp_path / "grid/random/all/seed0/result.json").is_file()
    table = capsys.readouterr().out.splitlines()
    title = "knn_segmentation: mIoU in %, of 5 validation photos"
    assert table[0] == title and "std" in table[1]
    few, every = table[-2:]
    assert few.startswith("In knn segmentation with 2 labelled pictures, ")
    assert "mine is " in few and " than random weights: mIoU " in few and "95 % interval" in few
    assert every.startswith("In knn segmentation with all labelled pictures, ")
    assert run(squares, tmp_path / "grid", seeds=2, **options) == results
    grown = run(squares, tmp_path / "grid", seeds=2, **(options | {"labels": "2,4,all"}))
    assert [r for r in grown if r.labels != 4] == results


def test_random_weights_beside_a_file_have_its_architecture(squares, tmp_path):
    recipe = EncoderRecipe(name="resnet18", width=0.125)
    path = tmp_path / "mine.safetensors"
    save_backbone(path, build_encoder(recipe), recipe, normalisation=Normalisation())
    given = {"task": "knn_segmentation", "backbone": f"{path},random", "encoder": None}
    run(squares, tmp_path / "grid", **given)
    saved = tmp_path / "grid" / "random" / "all" / "seed0" / "backbone.safetensors"
    assert load_backbone(saved).recipe.width == 0.125


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "2,2"}, "'labels' cannot be '2,2': name each only once"),
        ({"backbone": "random,random"}, "name each only once"),
        ({"labels": "2,0"}, "'labels' cannot be '2,0': give numbers of photos, or all, as in"),
        ({"labels": "2,few"}, "'labels' cannot be '2,few': give numbers of photos"),
        ({"labels": 0}, "'labels' cannot be 0: give numbers of photos"),
    ],
)
def test_grids_that_are_none(squares, tmp_path, options, message):
    with pytest.raises(RecipeError, match=message):
        run(squares, tmp_path / "run", **options)


def test_another_recipe_in_the_same_folder(squares, tmp_path):
    run(squares, tmp_path / "run", steps=2)
    with pytest.raises(RunError, match=r"task.steps is 2 there and 3 now; give another out="):
        run(squares, tmp_path / "run", steps=3)


def test_corrected_labels_are_noticed(squares, tmp_path, capsys):
    """The result of other labels isn't shown as if it were that of these."""
    data = Path(shutil.copytree(squares, tmp_path / "data"))
    options = {"task": "linear_segmentation", "seeds": 2}
    results = run(data, tmp_path / "run", **options)
    said = capsys.readouterr().err
    assert "only read again" not in said
    assert re.search(r"transfer 1 of 2: .* seed 0\n", said), "nothing is known of the time yet"
    assert re.search(r"transfer 2 of 2: .* seed 1 · 0:0\d:\d\d left\n", said)
    assert run(data, tmp_path / "run", **options) == results
    text = "2 of 2 results were there, of the same data: only read again"
    assert text in capsys.readouterr().err
    path = data / "train/labels/03.png"
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert cv2.imwrite(str(path), labels[::-1].copy())
    text = r"data=.* has changed since .*seed0 was begun .*train/labels/03\.png.*give another out="
    with pytest.raises(RunError, match=text):
        run(data, tmp_path / "run", **options)
    shutil.rmtree(tmp_path / "run/seed0"), shutil.rmtree(tmp_path / "run/seed1")  # as it advises
    assert run(data, tmp_path / "run", **options) != results


def test_a_data_set_that_was_moved_is_the_same(squares, tmp_path):
    data = Path(shutil.copytree(squares, tmp_path / "data"))
    results = run(data, tmp_path / "run", task="linear_segmentation")
    data.rename(tmp_path / "moved")
    assert run(tmp_path / "moved", tmp_path / "run", task="linear_segmentation") == results
    assert (
        run(f"{tmp_path}/moved/../moved", tmp_path / "run", task="linear_segmentation") == results
    )
    (tmp_path / "moved/val/labels/00.png").unlink()
    with pytest.raises(
        RunError, match=r"data is .*/data there and .*/moved now; give another out="
    ):
        run(tmp_path / "moved", tmp_path / "run", task="linear_segmentation")


def test_a_stopped_training_does_not_go_on_with_other_data(squares, tmp_path, monkeypatch):
    data = Path(shutil.copytree(squares, tmp_path / "data"))
    options = {"steps": 3, "loop": {"accelerator": "cpu", "checkpoint_every": 1}}
    fit = training.fit

    def stopped(model, open_batches, **settings):
        fit(model, lambda first: itertools.islice(open_batches(first), 2), **settings)

    monkeypatch.setattr(training, "fit", stopped)
    with pytest.raises(ValueError, match="the data ended after 2 of 3 steps"):
        run(data, tmp_path / "run", **options)
    monkeypatch.undo()
    shutil.copy(data / "train/images/00.png", data / "train/images/12.png")
    shutil.copy(data / "train/labels/00.png", data / "train/labels/12.png")
    with pytest.raises(RunError, match=r"35 files then, 37 now; the newest is train/.*12\.png"):
        run(data, tmp_path / "run", **options)


def test_another_backbone_of_the_same_name(squares, tmp_path):
    path, recipe = tmp_path / "b.safetensors", EncoderRecipe(name="resnet18", width=0.25)
    options = {"task": "linear_segmentation", "backbone": str(path), "encoder": None}
    save_backbone(path, build_encoder(recipe), recipe, normalisation=Normalisation())
    run(squares, tmp_path / "run", **options)
    save_backbone(path, build_encoder(recipe), recipe, normalisation=Normalisation())
    with pytest.raises(RunError, match=r"backbone=.*b\.safetensors has changed since"):
        run(squares, tmp_path / "run", **options)
    with pytest.raises(BackboneError, match=r"b\.safetensors has the SHA-256 .*, not the 12ab"):
        run(squares, tmp_path / "other", backbone_sha256="12ab", **options)


@pytest.mark.parametrize("task", ["linear_segmentation", "knn_segmentation"])
def test_features_that_overflow_are_no_figure(squares, tmp_path, task):
    """The weights are finite, as of a training that diverged; their features aren't."""
    path, recipe = tmp_path / "b.safetensors", EncoderRecipe(name="resnet18", width=0.25)
    encoder = build_encoder(recipe)
    for norm in (encoder.layer4[1].bn1, encoder.layer4[1].bn2):
        torch.nn.init.constant_(norm.weight, 1e30)
    save_backbone(path, encoder, recipe, normalisation=Normalisation())
    with pytest.raises(FeaturesError, match=r"NaN or infinite, though its weights are not: its tr"):
        run(squares, tmp_path / "run", task=task, backbone=str(path), encoder=None)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"labels": 13}, LabelError, "labels=13, but there are only 12 training photos"),
        ({"encoder": None}, BackboneError, "'random' doesn't say its architecture"),
        ({"backbone": "none.safetensors"}, BackboneError, "there is no backbone none.safetensors"),
        ({"data": "nowhere"}, AnnotationError, r"there is no folder nowhere.train.images"),
        (
            {"task": "segment"},
            RecipeError,
            "'task' cannot be 'segment'; did you mean 'segmentation'",
        ),
        ({"task.head_chanels": 4}, RecipeError, "did you mean 'task.head_channels'"),
        ({"task.crop": 4}, RecipeError, "task.crop"),
        ({"crop": 64}, RecipeError, "'crop' is a setting of the task now: give task.crop=64"),
        (
            {"encoder.name": "test_vit", "encoder.width": 1, "encoder.drop_path": 0.1},
            RecipeError,
            "encoder.drop_path is for a pretraining; give task.drop_path=0.1",
        ),
        ({"task.drop_path": 0.1}, ValueError, "drop_path applies to timm models alone"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_no_folder(squares, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        run(squares, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_training_on_nothing(squares, tmp_path):
    """Before any training, whichever way of learning: labels that say nothing."""

    def relabelled(name, change, split):
        data = Path(shutil.copytree(squares, tmp_path / name))
        for path in (data / split / "labels").iterdir():
            labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert cv2.imwrite(str(path), change(labels))
        return data

    cases = [
        (
            relabelled("masks", lambda x: np.where(x == 1, 255, 0).astype(np.uint8), "train"),
            r"of all 12 training photos show only one class, ground; .* 255 as 1",
        ),
        (
            relabelled("one", lambda x: np.full_like(x, 2), "train"),
            r"of all 12 training photos show only one class, blue; .* or use more photos",
        ),
        (
            relabelled("void", lambda x: np.full_like(x, 255), "train"),
            r"of all 12 training photos are void \(255\) everywhere: there is nothing to learn",
        ),
        (
            relabelled("val", lambda x: np.full_like(x, 255), "val"),
            r"of all 5 validation photos are void \(255\) .*: there is nothing to score on",
        ),
    ]
    for data, message in cases:
        for task in ("segmentation", "linear_segmentation", "knn_segmentation"):
            with pytest.raises(LabelError, match=message):
                run(data, tmp_path / "run", task=task)
            assert not (tmp_path / "run").exists()


def test_one_class_in_val_is_scored_and_told_of(squares, tmp_path, capsys):
    data = Path(shutil.copytree(squares, tmp_path / "data"))
    for path in (data / "val/labels").iterdir():
        assert cv2.imwrite(str(path), np.zeros((32, 32), np.uint8))
    (result,) = run(data, tmp_path / "run", task="linear_segmentation")
    assert result.per_class["ground"] is not None and result.value < 100
    said = "the labels of all 5 validation photos show only one class, ground: always saying that"
    assert said in capsys.readouterr().err


def test_missing_photos_are_found_before_training(tmp_path):
    """All of them, though photos that need much memory are read only when they are used."""

    class Listed:
        keys = tuple(f"{number}.png" for number in range(9))
        photos = Photos("list.json", str(tmp_path), keys)

    for key in Listed.keys[2:]:
        (tmp_path / key).write_bytes(b"" if key == "7.png" else b"x")
    split = LabelledSplit(Listed(), lambda *_: None, keep)
    text = r"3 of 9 photos are missing or empty, the first is .*0\.png; put them"
    with pytest.raises(LabelError, match=text):
        Examples(split, range(9), memory=0)
    with pytest.raises(LabelError, match=r"1 of 2 photos .* the first is .*7\.png"):
        Examples(split, [7, 8], memory=0)


def test_empty_labels_are_found_before_training(squares, tmp_path):
    data = Path(shutil.copytree(squares, tmp_path / "data"))
    for name in ("02", "04"):
        (data / f"val/labels/{name}.png").write_bytes(b"")
    text = r"2 of 5 labels are missing or empty, the first is .*val/labels/02\.png"
    with pytest.raises(LabelError, match=text):
        run(data, tmp_path / "run", task={"kind": "linear_segmentation", "num_classes": None})
    assert not (tmp_path / "run").exists()


def test_a_damaged_training_picture_is_found_before_anything_is_written(squares, tmp_path):
    data = Path(shutil.copytree(squares, tmp_path / "data"))
    (data / "train/images/07.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 12 photos .* the first is .*07\.png"):
        run(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_result_files(squares, tmp_path):
    (result,) = run(squares, tmp_path / "run", task="linear_segmentation")
    write_result(tmp_path, replace(result, per_class={"ground": None}))
    assert read_result(tmp_path).per_class == {"ground": None}
    values = json.loads((tmp_path / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps(values | {"added_later": 1}))
    assert read_result(tmp_path).value == result.value
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(RunError, match=r"result\.json has no 'task'; was it written by detcon"):
        read_result(tmp_path)


def test_colours_of_classes_differ():
    colours = class_colours()
    assert len(np.unique(colours[:60], axis=0)) == 60 and not colours[255].any()


def a_result(backbone, labels, seed, per_class, **figures):
    mean = statistics.mean(per_class.values())
    known = dict.fromkeys((one.name for one in fields(Result)), "")
    known |= {"metric": "AP box", "unit": "%", "value": mean, "seconds": 1.0}
    given = {"backbone": backbone, "labels": labels, "seed": seed, "per_class": per_class}
    return Result(**(known | given | {"figures": figures}))


def test_figures_by_class_are_told_of_the_most_labels_and_one_backbone(capsys):
    """There was one number: 37.2, of classes at 0.9 and at 56.7."""
    few = a_result("random", 5, 0, {"a": 99.0, "b": 99.0}, **{"box AP50": 99.0})
    first = a_result("random", None, 0, {"RBC": 56.7, "Platelets": 0.9}, **{"box AP50": 60.0})
    second = a_result("random", None, 1, {"RBC": 58.7, "Platelets": 1.1}, **{"box AP50": 62.0})
    grid._say([few, first, second], {"random": "random"})
    told = capsys.readouterr().out.splitlines()[-1]
    assert told == "by class, lowest first: Platelets 1.0, RBC 57.7; box AP50 61.0"
    lacking = {"class 0": None, "RBC": 1.0, "Platelets": None}
    few_photos = replace(a_result("random", None, 0, {"RBC": 1.0}), per_class=lacking)
    assert grid._by_class([few_photos]) == "by class, lowest first: RBC 1.0; not in val: Platelets"
    many = a_result("random", None, 0, {f"c{number}": float(number) for number in range(10)})
    assert grid._by_class([many]).endswith(", c7 7.0, …")
    assert grid._by_class([a_result("random", None, 0, {"one": 1.0})]) != ""
    grid._say([few, a_result("b", 5, 0, {"a": 1.0})], {"random": "random", "b": "b"})
    assert "by class" not in capsys.readouterr().out


def test_fewer_validation_photos_are_drawn_and_told(squares, tmp_path, capsys):
    (whole,) = run(squares, tmp_path / "whole", steps=2)
    few, fewer = (
        run(squares, tmp_path / f"{num}", steps=2, val_photos=num, seeds=2) for num in (3, 2)
    )
    assert {(one.num_photos, one.val_photos) for one in few} == {(3, 3)}
    assert (whole.num_photos, whole.val_photos) == (5, None)
    lists = [
        (tmp_path / name / seed / "val.txt").read_text().split()
        for name in ("3", "2")
        for seed in ("seed0", "seed1")
    ]
    assert lists[0] == lists[1] and lists[2] == lists[3], "the same for all seeds"
    assert len(lists[0]) == 3 and set(lists[2]) < set(lists[0]), "fewer are some of more"
    assert [read_result(tmp_path / "2" / "seed0"), len(fewer)] == [fewer[0], 2]
    said = capsys.readouterr()
    note = "val_photos=3: scored on 3 of 5 validation photos, drawn by their names; val.txt in the"
    assert said.err.count(note) == 1
    assert "of 3 validation photos, drawn from all\n" in said.out
    with pytest.raises(RunError, match="val_photos is 2 there and 3 now"):
        run(squares, tmp_path / "2", steps=2, val_photos=3)


@pytest.mark.parametrize("num", [5, 99])
def test_where_no_validation_photo_is_left_out_nothing_is_said(squares, tmp_path, capsys, num):
    (result,) = run(squares, tmp_path / "run", steps=1, val_photos=num)
    assert (result.num_photos, result.val_photos) == (5, None)
    said = capsys.readouterr()
    assert "drawn" not in said.out + said.err and "of 5 validation photos\n" in said.out
    listed = open_photos(tmp_path / "run/seed0/val.txt")
    names = Names(listed.keys, listed.root)
    assert names.folder == str(squares / "val/images")
    assert [names[key] for key in listed] == list(open_photos(squares / "val/images").keys)
