"""Tests for detcon.downstream.predicting and model_file: a finished model, on photos."""

import cv2
import numpy as np
import pytest
import torch
from downstream_squares import SMALL
from PIL import Image
from safetensors.torch import load_file, save_file

import detcon
from detcon.downstream import pictures
from detcon.downstream.model_file import ModelError, load_model
from detcon.downstream.predicting import predict
from detcon.downstream.transfer import transfer
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
    assert predict(out=str(tmp_path / "found"), **options) == out  # finished: nothing to do
    with pytest.raises(RunError, match="images is .* there and .* now; give another out="):
        predict(out=str(out), model=str(trained), images=str(squares / "val/images"))


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


def test_a_model_of_another_network(trained, tmp_path):
    from safetensors import safe_open

    path = trained / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    tensors = load_file(path) | {"head.0.weight": torch.zeros(1)}
    save_file(tensors, tmp_path / "m.safetensors", about)
    with pytest.raises(ModelError, match="doesn't fit the network it names"):
        load_model(tmp_path / "m.safetensors")


def test_two_photos_of_one_name(squares, trained, tmp_path):
    for name in ("a.png", "b.png", "b.jpg"):
        (tmp_path / name).write_bytes((squares / "val/images/00.png").read_bytes())
    with pytest.raises(ValueError, match=r"holds b.jpg and b.png, whose .* one file, b.png"):
        predict(model=str(trained), images=str(tmp_path), out=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
