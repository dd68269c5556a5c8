"""Tests for detcon.downstream.predicting and model_file: a finished model, on photos."""

import json
import os
import shlex
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from downstream_squares import SMALL
from PIL import Image
from pycocotools import mask as rle
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import detcon
from detcon.config import load_recipe, parse_overrides
from detcon.data.labelled.examples import nested_subset
from detcon.downstream import pictures, predicting
from detcon.downstream.again import how_to_learn_again
from detcon.downstream.labels import regions_of
from detcon.downstream.model_file import Model, ModelError, load_model, settings_of
from detcon.downstream.network import FeaturesError
from detcon.downstream.predicting import predict
from detcon.downstream.recipe import PredictRecipe
from detcon.downstream.tasks.detection.recipe import DetectionRecipe
from detcon.downstream.transfer import transfer
from detcon.formats.reading.holdout import Holdout
from detcon.formats.registry import open_label_maps, open_objects
from detcon.palette import class_colours
from detcon.results import RunError


@pytest.fixture(scope="module")
def trained(squares, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    transfer(**SMALL, data=str(squares), out=str(out), size=24, **{"task.steps": 20})
    return out / "seed0"


def test_three_lines_of_python(squares, trained):
    model = detcon.load_model(trained)
    labels = model.predict(squares / "val/images/00.png")
    assert labels.shape == (32, 32) and labels.dtype == np.uint8 and labels.max() < 3
    assert model.names == ("ground", "red", "blue")


def test_one_photo_has_one_answer(squares, trained, tmp_path):
    """From its file, from its pixels and by the command, at its own size."""
    path = squares / "val/images/00.png"
    model = detcon.load_model(trained)
    by_path = model.predict(path)
    by_pixels = model.predict(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))
    out = predict(model=str(trained), images=str(path.parent), out=str(tmp_path / "found"))
    by_command = np.asarray(Image.open(out / "labels/00.png"))
    assert by_path.shape == (32, 32)
    assert np.array_equal(by_path, by_pixels) and np.array_equal(by_path, by_command)


def test_it_predicts_what_the_transfer_drew(squares, trained):
    """There photo, truth and prediction are shrunk as they were learnt, to 24 pixels."""
    model = detcon.load_model(trained / "model.safetensors")
    strip = cv2.imread(str(trained / "predictions/00.png"), cv2.IMREAD_COLOR_RGB)
    photo = np.split(strip, 3, axis=1)[0]
    drawn = model.task.draw(photo, model.predict(photo), model.names)
    assert np.array_equal(np.split(strip, 3, axis=1)[2], drawn)


def test_predictions_are_written_whole(trained, squares, tmp_path, monkeypatch):
    """A full disk leaves no half a file under the name of a prediction."""

    def full(path, data, **_):
        raise OSError("no space left on device")

    monkeypatch.setattr(pictures, "write_whole", full)
    with pytest.raises(OSError, match="no space left"):
        predict(model=str(trained), images=str(squares / "val/images"), out=str(tmp_path / "o"))
    assert not list((tmp_path / "o").rglob("*.png"))


def test_predictions_of_a_folder(squares, trained, tmp_path, capsys):
    photos = tmp_path / "photos/sub"
    photos.mkdir(parents=True)
    for name in ("00.png", "01.png"):
        (photos / name).write_bytes((squares / "val/images" / name).read_bytes())
    (photos / "bad.png").write_bytes(b"no photo")
    options = {"model": str(trained), "images": str(tmp_path / "photos")}
    out = predict(out=str(tmp_path / "found"), **options)
    labels = cv2.imread(str(out / "labels/sub/00.png"), cv2.IMREAD_UNCHANGED)
    assert labels.shape[:2] == (32, 32)  # the photo's own size, though it was shrunk to be read
    assert cv2.imread(str(out / "drawn/sub/01.png")).shape == (32, 64, 3)
    assert "skipped" in (said := capsys.readouterr().err) and "bad.png" in said
    assert (
        out / "classes.json"
    ).read_text() == '{"names": ["ground", "red", "blue"], "ignore": 255}\n'
    with pytest.raises(
        RunError, match="has the predictions of other photos than those of .*images;"
    ):
        predict(out=str(out), model=str(trained), images=str(squares / "val/images"))


@pytest.fixture
def photos(squares, tmp_path):
    """Four photos of two sizes, in a folder that a test may change."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        photo = cv2.imread(str(squares / f"val/images/{number:02}.png"))
        assert cv2.imwrite(str(folder / f"{number}.png"), photo[: 32 - 8 * (number % 2)])
    return folder


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_give_what_single_photos_give(trained, photos, tmp_path, workers):
    model = detcon.load_model(trained)
    options = {"model": str(trained), "images": str(photos), "batch_size": 3, "workers": workers}
    out = predict(out=str(tmp_path / "found"), **options)
    for path in photos.iterdir():
        labels = cv2.imread(str(out / "labels" / path.name), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(class_colours()[model.predict(path)][..., ::-1], labels), path


def test_a_stopped_prediction_goes_on(trained, photos, tmp_path, monkeypatch, capsys):
    options = {"model": str(trained), "images": str(photos), "batch_size": 1}
    whole = predict(out=str(tmp_path / "whole"), **options)
    append, appended = predicting.append_line, []

    def stop(path, row):
        if len(appended) == 2:
            raise KeyboardInterrupt
        append(path, row)
        appended.append(row["photo"])

    monkeypatch.setattr(predicting, "append_line", stop)
    with pytest.raises(KeyboardInterrupt):
        predict(out=str(tmp_path / "parts"), **options)
    monkeypatch.setattr(
        predicting, "append_line", lambda *a: (append(*a), appended.append(a[1]["photo"]))
    )
    capsys.readouterr()
    parts = predict(out=str(tmp_path / "parts"), **(options | {"batch_size": 3}))
    assert appended == [f"{number}.png" for number in range(4)]  # each once
    assert "has the predictions of 2 photos: goes on with 2 more" in capsys.readouterr().err
    for path in (whole / "labels").iterdir():
        assert path.read_bytes() == (parts / "labels" / path.name).read_bytes()


def test_new_photos_are_predicted_and_changed_ones_refused(trained, photos, tmp_path, capsys):
    options = {"model": str(trained), "out": str(tmp_path / "found")}
    out = predict(images=str(photos), **options)
    kept = (out / "labels/0.png").stat().st_mtime_ns
    assert predict(images=str(photos), **options) == out
    assert "has the predictions of 4 photos: there are no others" in capsys.readouterr().err
    shutil.copy(photos / "0.png", photos / "4.png")
    predict(images=str(photos), **options)
    assert "has the predictions of 4 photos: goes on with 1 more" in capsys.readouterr().err
    assert (out / "labels/4.png").is_file() and (out / "labels/0.png").stat().st_mtime_ns == kept
    photos.rename(tmp_path / "moved")  # and spelled otherwise
    predict(images=f"{tmp_path}/moved/../moved", **options)
    assert "has the predictions of 5 photos: there are no others" in capsys.readouterr().err
    photos = tmp_path / "moved"
    shutil.copy(photos / "1.png", photos / "3.png")
    (photos / "2.png").unlink()
    text = r"1 photo of .* changed and 1 gone since .*, the first is 3\.png; give another out"
    with pytest.raises(RunError, match=text):
        predict(images=str(photos), **options)


@pytest.mark.parametrize("form", ["auto", "labelme", "yolo", "voc_xml", "folder", "coco"])
def test_predictions_whose_files_are_gone_are_made_again(trained, photos, tmp_path, capsys, form):
    """Any file of a photo alone, of each format; the others stay as they are."""
    options = {"model": str(trained), "images": str(photos), "format": form}
    out = predict(out=str(tmp_path / "found"), **options)
    whole = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    of_one = sorted(path for path in whole if path.stem == "2")
    assert len(of_one) == {"auto": 2, "folder": 3, "coco": 1}.get(form, 2)
    for path in of_one:
        path.unlink()
        capsys.readouterr()
        predict(out=str(out), **options)
        said = capsys.readouterr().err
        assert f"gone from {out}, and made again: 1 prediction, the first is that of 2.png" in said
        assert "has the predictions of 3 photos: goes on with 1 more" in said
        assert path.read_bytes() == whole[path]
    predict(out=str(out), **options)
    assert "has the predictions of 4 photos: there are no others" in capsys.readouterr().err


def test_stale_predictions_of_other_photos_with_the_same_names_and_sizes(trained, tmp_path):
    """Pictures of BMP files of one width and height have one size; these are older, too."""
    for name, value in (("one", 50), ("two", 200)):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "a.bmp"), np.full((32, 32, 3), value, np.uint8))
        os.utime(tmp_path / name / "a.bmp", (1e9, 1e9))
    options = {"model": str(trained), "out": str(tmp_path / "found")}
    predict(images=str(tmp_path / "one"), **options)
    with pytest.raises(RunError, match=r"1 photo of .*two changed .* the first is a\.bmp; give"):
        predict(images=str(tmp_path / "two"), **options)


def test_a_model_that_was_trained_again_is_noticed(trained, photos, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    options = {"images": str(photos), "out": str(tmp_path / "found")}
    predict(model=str(tmp_path / "run"), **options)
    (tmp_path / "run").rename(tmp_path / "moved")
    predict(model=str(tmp_path / "moved"), **options)  # the same model elsewhere
    (tmp_path / "moved").rename(tmp_path / "run")
    path = tmp_path / "run/model.safetensors"
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    tensors = load_file(path)
    tensors["encoder.conv1.weight"][0] += 1
    save_file(tensors, path, about)
    with pytest.raises(RunError, match=r"model=.*run has changed since .*; give another out="):
        predict(model=str(tmp_path / "run"), **options)


def test_labels_that_a_person_may_have_corrected_are_not_made_again(trained, photos, tmp_path):
    options = {"model": str(trained), "images": str(photos), "out": str(tmp_path / "found")}
    out = predict(**options, format="labelme")
    text = "predicted with format=labelme, maybe corrected by now; for format=yolo give another out"
    with pytest.raises(RunError, match=rf"{text}=, as in out=.*found-yolo$"):
        predict(**options, format="yolo")
    with pytest.raises(RunError, match=r"for format=auto give another out="):
        predict(**options)
    with pytest.raises(RunError, match=r"with score=0.5, .* for score=0.7 .* out=.*found-0.7$"):
        predict(**options, format="labelme", score=0.7)
    other = predict(**{**options, "out": f"{out}-yolo"}, format="yolo")
    assert len(list((other / "yolo/labels").iterdir())) == 4


def test_pictures_are_made_again_with_other_settings(trained, photos, tmp_path, capsys):
    options = {"model": str(trained), "images": str(photos), "out": str(tmp_path / "found")}
    out = predict(**options, draw=False)
    assert not (out / "drawn").exists()
    predict(**options, score=0.7)
    said = capsys.readouterr().err
    assert f"draw=true in place of false: all photos of {out} are predicted again" in said
    assert "score=0.7" not in said, "maps of classes have none"
    assert len(list((out / "drawn").iterdir())) == 4
    predict(**options)
    assert "has the predictions of 4 photos: there are no others" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["auto", "labelme", "yolo", "voc_xml", "folder", "coco"])
@pytest.mark.parametrize("line", ["{photos}/{name}", "../photos/{name}"])
def test_a_list_that_leads_elsewhere_keeps_its_photos(trained, photos, tmp_path, form, line):
    """Written beside them, or over them, the drawings would be what was photographed."""
    (photos / "2.xml").write_text("by hand")
    before = {path: path.read_bytes() for path in photos.iterdir()}
    folder = tmp_path / "lists"
    folder.mkdir()
    lines = [line.format(photos=photos, name=path.name) for path in photos.glob("*.png")]
    (folder / "some.txt").write_text("\n".join(lines))
    given = {"model": str(trained), "images": str(folder / "some.txt"), "format": form}
    out = predict(out=str(tmp_path / "found"), **given)
    assert {path: path.read_bytes() for path in photos.iterdir()} == before
    other = predict(out=str(tmp_path / "other"), **given | {"images": str(photos)})
    parts = [
        {path.relative_to(root) for path in root.rglob("*") if path.parent != root}
        for root in (out, other)
    ]
    assert parts[0] == parts[1], "the same files as of the folder itself"
    again = how_to_learn_again(load_recipe(PredictRecipe, None, given | {"out": str(out)}))
    assert form not in ("labelme", "voc_xml") or f"/. {photos}\ncorrect" in again


def test_the_command_that_follows_can_be_run(trained, photos, tmp_path, monkeypatch):
    given = {"model": str(trained), "images": str(photos), "out": str(tmp_path / "found")}
    given |= {"format": "labelme", "draw": False}
    shutil.copytree(predict(**given) / "labelme", photos, dirs_exist_ok=True)
    how = how_to_learn_again(load_recipe(PredictRecipe, None, given))
    words = shlex.split(how.splitlines()[-1])
    assert words[:3] == ["detcon", "transfer", str(trained / "recipe.yaml")]
    shorter = ["val=0.5", "task.steps=1"]  # of four photos
    (result,) = transfer(words[2], **parse_overrides([*words[3:], *shorter]))
    assert result.task == "segmentation" and (tmp_path / "found-learnt").is_dir()


def test_boxes_join_a_data_set_of_voc(trained, squares, tmp_path, monkeypatch):
    """Beside the photos they would be a second XML of a photo, which is refused."""
    data = tmp_path / "voc"
    shutil.copytree(squares / "val/images", data / "JPEGImages")
    (data / "Annotations").mkdir()
    made = settings_of(trained).model_copy(
        update={"format": "voc_xml", "data": str(data), "task": DetectionRecipe()}
    )
    monkeypatch.setattr("detcon.downstream.again.settings_of", lambda model: made)
    given = {"model": str(trained), "images": str(data / "JPEGImages"), "out": str(tmp_path / "f")}
    settings = load_recipe(PredictRecipe, None, given | {"format": "voc_xml"})
    how = how_to_learn_again(settings)
    assert how.startswith(f"cp -rn {tmp_path}/f/voc_xml/. {data}/Annotations\n")
    assert f" data={data} format=voc_xml out={tmp_path}/f-learnt" in how and "no list" not in how
    listed = data / "ImageSets/Main/train.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("00\n")
    assert f"; names that are in no list go into {listed}\n" in how_to_learn_again(settings)
    shutil.move(data / "JPEGImages", tmp_path / "new")
    moved = settings.model_copy(update={"images": str(tmp_path / "new")})
    how = how_to_learn_again(moved)
    told = f"; below they are learnt from alone, docs/predict.md joins them to {data}\ndetcon"
    assert told in how
    assert f" data={tmp_path}/new format=voc_xml val=0.2 " in how
    (data / "JPEGImages").mkdir()
    copied = f"cp -rn {tmp_path}/new/. {data}/JPEGImages\ncp -rn {tmp_path}/f/voc_xml/. {data}/Ann"
    how = how_to_learn_again(moved)
    assert how.startswith(copied) and "alone" not in how
    assert f"; names that are in no list go into {listed}\n" in how
    assert f" data={data} format=voc_xml out=" in how


@pytest.mark.parametrize("given", ["JPEGImages", "", "absolute", "relative"])
def test_labels_of_people_with_the_photos_are_found(given, trained, squares, tmp_path, monkeypatch):
    """In a data set of VOC that isn't the model's own: predictions alone would be learnt from."""
    data = tmp_path / "other"
    shutil.copytree(squares / "val/images", data / "JPEGImages")
    (data / "Annotations").mkdir()
    names = sorted(path.name for path in (data / "JPEGImages").iterdir())
    folder = {"absolute": f"{data}/JPEGImages/", "relative": "other/JPEGImages/"}
    if given in folder:
        (tmp_path / "some.txt").write_text("".join(f"{folder[given]}{name}\n" for name in names))
    made = settings_of(trained).model_copy(
        update={"format": "voc_xml", "data": str(squares), "task": DetectionRecipe(), "val": 0.5}
    )
    monkeypatch.setattr("detcon.downstream.again.settings_of", lambda model: made)
    images = tmp_path / "some.txt" if given in folder else data / given
    words = {"model": str(trained), "images": str(images), "out": str(tmp_path / "f")}
    settings = load_recipe(PredictRecipe, None, words | {"format": "voc_xml"})
    how = how_to_learn_again(settings)
    part = {"absolute": "other/JPEGImages/.", "relative": "other/JPEGImages/.", "": "JPEGImages/."}
    copied = f"cp -rn {tmp_path}/f/voc_xml/{part.get(given, '.')} {data}/Annotations"
    assert how.startswith(f"{copied}\ncorrect the new labels, as in LabelImg\ndetcon")
    assert f" data={data} format=voc_xml val=0.2 out=" in how
    (data / "ImageSets/Main").mkdir(parents=True)
    (data / "ImageSets/Main/val.txt").write_text("00\n")
    assert f" data={data} format=voc_xml val=null val_groups=null " in how_to_learn_again(settings)
    stems = [path.stem for path in (data / "JPEGImages").iterdir()]
    (data / f"Annotations/{stems[0]}.xml").touch()
    told = f"; 1 of {len(stems)} photos have labels in {data}/Annotations, which stay\n"
    assert told in how_to_learn_again(settings)
    for stem in stems:
        (data / f"Annotations/{stem}.xml").touch()
    how = how_to_learn_again(settings)
    told = f"({len(stems)} of {len(stems)} photos have some), which stay\ndetcon transfer"
    assert how.startswith(f"correct the labels in {data}/Annotations {told}")
    assert "cp -rn" not in how and f" data={data} format=voc_xml " in how


def names_of(maps, key):
    """The name of the class of each pixel."""
    return np.array(maps.names)[maps.labels(key)]


def test_labels_to_correct_and_to_learn_from_again(trained, photos, tmp_path):
    """What each format holds, read by its reader, is what the model found."""
    for number, split in enumerate(("train", "train", "val", "val")):
        (photos / split).mkdir(exist_ok=True)
        (photos / f"{number}.png").rename(photos / split / f"{number}.png")
    model = detcon.load_model(trained)
    options = {"model": str(trained), "images": str(photos), "draw": False}
    labelme = predict(out=str(tmp_path / "labelme"), format="labelme", **options)
    shutil.copytree(labelme / "labelme", photos, dirs_exist_ok=True)
    yolo = predict(out=str(tmp_path / "yolo"), format="yolo", **options)
    shutil.copytree(photos, yolo / "yolo/images")
    for name, root in (("labelme", photos), ("yolo", yolo / "yolo")):
        for split in ("train", "val"):
            maps = open_label_maps(root, name, split)
            assert len(maps.keys) == 2
            for key in maps.keys:
                found = np.array(model.names)[model.predict(maps.photos.path(key))]
                assert (names_of(maps, key) == found).mean() > 0.97, (name, key)


def test_predictions_join_a_labelled_folder(trained, photos, squares, tmp_path, capsys):
    """Label maps and photos lie as in a labelled folder; what is there already stays."""
    options = {"model": str(trained), "images": str(photos), "draw": False}
    out = predict(out=str(tmp_path / "found"), format="folder", **options) / "folder"
    assert (out / "classes.json").read_bytes() == (
        b'{"names": ["ground", "red", "blue"], "ignore": 255}\n'
    )
    joined = tmp_path / "labelled"
    shutil.copytree(out, joined)
    shutil.copytree(squares, joined, dirs_exist_ok=True)
    maps, model = open_label_maps(joined, "folder", "train"), detcon.load_model(trained)
    assert {path.name for path in photos.iterdir()} < {*maps.keys} and maps.names == model.names
    for name in ("5.png", "07.png"):  # the data set has labels of the second, which stay
        shutil.copy(photos / "0.png", photos / name)
    predict(**options, out=str(tmp_path / "found"), format="folder")
    shutil.copytree(out, joined, dirs_exist_ok=True)
    lists = [set(path.read_text().split()) for path in (joined / "train").glob("predicted-*")]
    keys = {path.name for path in photos.iterdir()} - {"07.png"}
    assert sorted(lists, key=len) == [keys - {"5.png"}, keys], "a list of each round"
    task = {**SMALL["task"], "steps": 1}
    run = {**SMALL, "data": str(joined), "out": str(tmp_path / "run"), "labels": 9, "task": task}
    capsys.readouterr()
    transfer(**run)
    maps = open_label_maps(joined, "folder", "train")
    drawn = {maps.keys[place] for place in nested_subset(len(maps.keys), 9, seed=0)}
    number = len(drawn & keys)
    assert 0 < number < 9
    said = f"labels=9, seed 0: {number} of the 9 photos to learn from have labels that 'detcon pre"
    assert capsys.readouterr().err.count(said) == 1
    for path in photos.iterdir():
        assert maps.photos.path(path.name).read_bytes() == path.read_bytes()
        assert np.array_equal(maps.labels(path.name), model.predict(path))


@pytest.mark.parametrize("copied", [False, True])
def test_validation_photos_do_not_join_what_is_learnt_from(
    trained, squares, tmp_path, copied, capsys
):
    images = squares / "val/images"
    if copied:
        images = shutil.copytree(images, tmp_path / "copied")
    text = (
        "5 of 5 photos of .* are validation photos of .*squares.*, the first is 00.png; with form"
    )
    given = {"model": str(trained), "out": str(tmp_path / "found"), "format": "folder"}
    with pytest.raises(ValueError, match=text):
        predict(**given, images=str(images))
    predict(**given, images=str(squares / "train/images"), draw=False)
    assert "validation photos" not in capsys.readouterr().err
    given |= {"images": str(images), "out": str(tmp_path / "outlines"), "draw": False}
    predict(**given | {"format": "labelme"})
    said = "the first is 00.png: a model that learns from them can't be scored on that data\n"
    assert said in capsys.readouterr().err
    predict(**given | {"out": str(tmp_path / "seen"), "format": "auto"})
    assert "validation photos" not in capsys.readouterr().err, "they are only looked at"


def test_boxes_beside_the_labels_that_one_has(trained, photos, tmp_path, capsys):
    """VOC XML holds no outlines: how many there were is said, also when it is given again."""
    model = detcon.load_model(trained)
    options = {"model": str(trained), "images": str(photos), "draw": False, "format": "voc_xml"}
    out = predict(out=str(tmp_path / "found"), **options)
    expected = {}
    for path in sorted(photos.iterdir()):
        objects = regions_of(model.predict(path), model.names).objects
        expected[path.name] = (objects.boxes.tolist(), [model.names[n] for n in objects.classes])
    num = sum(len(boxes) for boxes, _ in expected.values())
    said = f"outlines left out: {num} (VOC XML holds boxes alone)"
    assert capsys.readouterr().err.count(said) == 1
    predict(out=str(out), **options)
    assert capsys.readouterr().err.count(said) == 1
    shutil.copytree(out / "voc_xml", photos, dirs_exist_ok=True)
    known = {}
    for split in ("train", "val"):
        read = open_objects(photos, "auto", split, holdout=Holdout(0.5))
        for key in read.keys:
            found = read.objects(key)
            known[key] = (found.boxes.tolist(), [read.names[n] for n in found.classes])
    assert {key: known[key] for key in sorted(known)} == expected


@pytest.mark.parametrize("form", ["labelme", "yolo", "voc_xml", "coco", "folder"])
def test_photos_without_an_object_are_counted(trained, photos, tmp_path, monkeypatch, capsys, form):
    """Those of an earlier command too; a map of background alone holds none."""
    options = {"model": str(trained), "images": str(photos), "draw": False, "batch_size": 1}
    maps = [np.zeros((32, 32), np.uint8) for _ in range(2)]
    maps[1][4:9] = 1

    def predicted(self, read):
        return [maps[one.shape[0] == 32][: one.shape[0]] for one in read]

    monkeypatch.setattr(Model, "predict_all", predicted)
    model = replace(load_model(trained), names=("background", "red", "blue"))
    monkeypatch.setattr(predicting, "load_model", lambda *_, **__: model)
    out = predict(out=str(tmp_path / form), format=form, **options)
    told = "2 of 4 photos got no object: learnt as empty, if not corrected or labelled already\n"
    said = capsys.readouterr().err
    assert said.count(told) == 1
    absent = "no label says blue: such an object in these photos would be learnt as background\n"
    assert said.count(absent) == (form in ("labelme", "voc_xml"))
    for place in (f"{form}/1.json", "yolo/labels/1.txt", "voc_xml/1.xml"):
        (out / place).unlink(missing_ok=True)
    predict(out=str(out), format=form, **options)
    assert capsys.readouterr().err.count(told) == 1
    predict(out=str(tmp_path / "auto"), **options)
    assert "no object" not in capsys.readouterr().err


def test_a_coco_data_set_of_what_was_found(trained, photos, tmp_path):
    options = {"model": str(trained), "images": str(photos)}
    out = predict(out=str(tmp_path / "found"), format="coco", **options)
    content = json.loads((out / "coco/annotations.json").read_text())
    assert [one["name"] for one in content["categories"]] == ["ground", "red", "blue"]
    assert [one["file_name"] for one in content["images"]] == [f"{n}.png" for n in range(4)]
    model, entries = detcon.load_model(trained), content["annotations"]
    assert [one["id"] for one in entries] == [*range(1, len(entries) + 1)]
    for image in content["images"]:
        labels = model.predict(photos / image["file_name"])
        drawn = np.full_like(labels, 99)
        for entry in entries:
            if entry["image_id"] == image["id"]:
                drawn[rle.decode(entry["segmentation"]) > 0] = entry["category_id"] - 1
        assert np.array_equal(drawn, labels) and labels.shape == (image["height"], image["width"])


def test_what_is_no_model(trained, tmp_path):
    with pytest.raises(ModelError, match=r"there is no model .*none\.safetensors;"):
        load_model(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="is no model of a transfer"):
        load_model(trained / "backbone.safetensors")
    whole = (trained / "model.safetensors").read_bytes()
    for end in (0, 5, 900, len(whole) - 1):
        (tmp_path / "model.safetensors").write_bytes(whole[:end])
        with pytest.raises(ModelError, match="is damaged"):
            load_model(tmp_path)


@pytest.mark.parametrize("form", ["auto", "yolo"])
def test_nothing_is_predicted_of_photos_that_cannot_be_read(trained, photos, tmp_path, form):
    """And the folder takes the corrected command."""
    (tmp_path / "damaged").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "damaged" / name).write_bytes(b"")
    given = {"model": str(trained), "out": str(tmp_path / "found"), "format": form}
    with pytest.raises(RunError, match=r"none of the 2 photos could be read; the first: .*a\.png"):
        predict(images=str(tmp_path / "damaged"), **given)
    assert (predict(images=str(photos), **given) / "drawn/0.png").is_file()


def test_predictions_into_the_folder_of_the_model_are_refused(trained, photos):
    with pytest.raises(RunError, match="holds a run of another recipe: .* give another out="):
        predict(model=str(trained), images=str(photos), out=str(trained))


def test_a_model_of_another_network(trained, tmp_path):
    path = trained / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    tensors = load_file(path) | {"head.0.weight": torch.zeros(1)}
    save_file(tensors, tmp_path / "m.safetensors", about)
    with pytest.raises(ModelError, match="doesn't fit the network it names"):
        load_model(tmp_path / "m.safetensors")


def test_a_model_with_weights_that_are_not_finite(trained, tmp_path):
    path = trained / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    tensors = load_file(path)
    tensors["head.0.weight"][0] = torch.nan
    save_file(tensors, tmp_path / "model.safetensors", about)
    with pytest.raises(
        ModelError, match=r"model\.safetensors is damaged, .* first head\.0\.weight"
    ):
        load_model(tmp_path)


def test_features_that_overflow_are_no_prediction(trained, photos, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run/model.safetensors"
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    tensors = load_file(path)
    tensors["encoder.bn1.running_var"] *= 1e-38
    tensors["encoder.layer1.0.bn1.weight"] *= 1e38
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path, about)
    with pytest.raises(FeaturesError, match="the model's features of a photo are NaN or infinite"):
        predict(model=str(path.parent), images=str(photos), out=str(tmp_path / "found"))


def test_names_of_photos_need_not_be_text(trained, photos, tmp_path, capsys):
    (photos / "0.png").rename(photos / os.fsdecode(b"caf\xe9.png"))
    options = {"model": str(trained), "images": str(photos), "out": str(tmp_path / "found")}
    out = predict(**options)
    assert (out / "labels" / os.fsdecode(b"caf\xe9.png")).is_file()
    predict(**options)
    assert "has the predictions of 4 photos: there are no others" in capsys.readouterr().err


def test_two_photos_of_one_name(squares, trained, tmp_path):
    (tmp_path / "p").mkdir()
    for name in ("a.png", "b.png", "b.jpg"):
        (tmp_path / "p" / name).write_bytes((squares / "val/images/00.png").read_bytes())
    with pytest.raises(ValueError, match=r"holds b.jpg and b.png, whose .* one file, b.png"):
        predict(model=str(trained), images=str(tmp_path / "p"), out=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
