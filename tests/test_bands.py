"""Photos of other than three channels, all the way from the file to the trained model."""

import io

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from detcon import load_backbone, make_masks, pretrain, transfer
from detcon.data.colour import apply_colour, draw_colour
from detcon.data.cut import draw_cut
from detcon.data.dataset import PhotoViews
from detcon.data.recipe import COLOUR_PRESETS, ViewsRecipe
from detcon.photos import (
    PhotosError,
    UnreadablePhoto,
    decode,
    open_photos,
    resize,
    shown,
    turn_upright,
)


def make_bands(number, bands=5):
    rng = np.random.default_rng(number)
    small = rng.integers(256, size=(6, 8, bands), dtype=np.uint8)
    return resize(small, (64, 48), cv2.INTER_CUBIC)


def write_bands(folder, how):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(8):
        photo = make_bands(number)
        if how == "npy":
            np.save(folder / f"{number}.npy", photo)
        elif how == "tiff":
            tifffile.imwrite(folder / f"{number}.tif", photo, photometric="minisblack")
        elif how == "planar tiff":
            planes = np.moveaxis(photo, 2, 0)
            tifffile.imwrite(folder / f"{number}.tif", planes, photometric="minisblack")
        else:
            np.save(folder / f"{number}.npy", photo.astype(np.uint16) << 8)
    return folder


@pytest.mark.parametrize("how", ["npy", "tiff", "planar tiff", "16 bits"])
def test_bands_are_read_as_they_are(tmp_path, how):
    photos = open_photos(write_bands(tmp_path, how), channels=5)
    assert len(photos) == 8
    np.testing.assert_array_equal(photos.read(photos.keys[3]), make_bands(3))


@pytest.mark.parametrize("how", ["tiff", "planar tiff"])
def test_bands_are_no_photo(tmp_path, how):
    """A decoder would take the first page of them, or call the file damaged."""
    [photo] = list(write_bands(tmp_path, how).glob("3.tif"))
    for channels in (1, 3):
        with pytest.raises(UnreadablePhoto, match=r"asked for; ask for 5 by channels= or enc"):
            decode(photo.read_bytes(), "3.tif", channels=channels)
    np.testing.assert_array_equal(decode(photo.read_bytes(), "", channels=5), make_bands(3))


@pytest.mark.parametrize(
    ("shape", "kind", "how", "says"),
    [
        ((48, 64, 6), np.uint8, "rgb", "but 3 bands of 8 or 16 bits were asked for; ask for 6 by"),
        ((48, 64), np.float32, "minisblack", "of the kind float32, .*; save it with 8 or 16 bits"),
        ((2, 48, 64, 3), np.uint8, "rgb", "2 x 48 x 64 x 3 numbers .*; save it with .* as rows, c"),
        ((48, 64, 3), np.uint8, "rgb", ""),
        ((48, 64, 4), np.uint16, "rgb", ""),
        ((48, 64), np.bool_, "minisblack", ""),
    ],
)
def test_tiffs_that_are_no_photos_are_not_called_damaged(tmp_path, shape, kind, how, says):
    tifffile.imwrite(tmp_path / "a.tif", np.ones(shape, kind), photometric=how)
    data = (tmp_path / "a.tif").read_bytes()
    if says:
        with pytest.raises(UnreadablePhoto, match=says):
            decode(data, "a.tif")
    else:
        assert decode(data, "a.tif").shape == (48, 64, 3)


def test_what_is_left_out_for_its_channels_is_said(tmp_path, capsys):
    for name in ("a.jpg", "b.npy"):
        (tmp_path / name[0]).mkdir()
        (tmp_path / name[0] / name).touch()
    with pytest.raises(PhotosError):
        open_photos(tmp_path / "a", channels=4)
    assert "1 .jpg file (of 3 channels; ask for these by channels=" in capsys.readouterr().err
    with pytest.raises(PhotosError):
        open_photos(tmp_path / "b")
    assert "1 .npy file (of bands; ask for as many as they have by" in capsys.readouterr().err


@pytest.mark.parametrize("orientation", range(1, 10))
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_bands_are_upright(form, orientation):
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(make_bands(0, bands=4)).save(file, form, exif=exif)
    expected = turn_upright(make_bands(0, bands=4), 1 if orientation == 9 else orientation)
    np.testing.assert_array_equal(decode(file.getvalue(), "a", channels=4), expected)


def test_a_png_with_alpha_has_four_bands_or_three():
    rgba = make_bands(0, bands=4)
    data = cv2.imencode(".png", cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA))[1].tobytes()
    np.testing.assert_array_equal(decode(data, "a.png", channels=4), rgba)
    np.testing.assert_array_equal(decode(data, "a.png"), rgba[..., :3])


def test_colours_become_grey():
    photo = make_bands(0, bands=3)
    data = cv2.imencode(".png", photo[..., ::-1])[1].tobytes()
    grey = decode(data, "a.png", channels=1)
    assert grey.shape == (48, 64, 1)
    expected = photo @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - expected).max() < 1.5


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((4, 4, 3), np.uint8), r"4 x 4 x 3 numbers of the kind uint8, but 5 bands"),
        (np.zeros((4, 4), np.uint8), r"4 x 4 numbers of the kind uint8, but 5 bands"),
        (np.zeros((4, 4, 5), np.float32), r"of the kind float32, but 5 bands of 8 or 16 bits"),
    ],
)
def test_says_what_else_a_file_holds(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UnreadablePhoto, match=message):
        open_photos(tmp_path, channels=5).read("a.npy")


def test_damaged_files_get_their_sentence(tmp_path):
    whole = write_bands(tmp_path / "bands", "tiff") / "0.tif"
    rng, sentences = np.random.default_rng(0), []
    for _ in range(100):
        data = bytearray(whole.read_bytes())
        for place in rng.integers(len(data), size=20):
            data[place] = rng.integers(256)
        data = data[: rng.integers(1, len(data))]
        try:
            assert decode(bytes(data), "a.tif", channels=5).shape[2] == 5
        except UnreadablePhoto as error:
            sentences.append(str(error))
    assert len(sentences) > 50 and all(" a.tif: " in sentence for sentence in sentences)


def test_resize_and_shown_take_any_number():
    photo = make_bands(0, bands=9)
    small = resize(photo, (20, 10), cv2.INTER_AREA)
    assert small.shape == (10, 20, 9)
    for band in range(9):
        expected = cv2.resize(photo[..., band], (20, 10), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(small[..., band], expected)
    np.testing.assert_array_equal(shown(photo), photo[..., :3])
    assert shown(photo[..., :1]).shape == shown(photo[..., :2]).shape == (48, 64, 3)


@pytest.mark.parametrize("channels", [1, 5])
def test_a_view_holds_the_bands_of_its_cut(tmp_path, channels):
    write_bands(tmp_path, "npy")
    if channels == 1:
        for path in list(tmp_path.iterdir()):
            cv2.imwrite(str(path.with_suffix(".png")), np.load(path)[..., 0])
    photos, recipe = open_photos(tmp_path, channels), ViewsRecipe(size=32)
    views = PhotoViews(photos, None, recipe, grid=(2, 2), seed=0)
    for view in (0, 1):
        cut = draw_cut(views.draws(0, 3, view), (48, 64), recipe)
        bands = make_bands(3)[..., :channels]
        expected = [cut.image(bands[..., [c]], 32)[..., 0] for c in range(channels)]
        np.testing.assert_array_equal(views[0, 3].images[view], expected)


def test_colours_of_bands_are_brightness_contrast_blur_and_solarize():
    """Each band is changed as a grey photo is, on both ways; order and draws are those of RGB."""
    rng = np.random.default_rng(0)
    recipe = COLOUR_PRESETS["detcon_b"][0].model_copy(update={"solarize": 0.5})
    colour = torch.from_numpy(np.stack([draw_colour(rng, recipe) for _ in range(8)]))
    photos = np.stack([make_bands(i) for i in range(8)]).transpose(0, 3, 1, 2)
    images = torch.from_numpy(np.ascontiguousarray(photos))
    options = {"mean": (0.5,), "std": (0.25,)}
    parts = [apply_colour(images[:, [c]], colour, **options) for c in range(5)]
    whole = apply_colour(images, colour, mean=(0.5,) * 5, std=(0.25,) * 5)
    torch.testing.assert_close(whole, torch.cat(parts, 1))


@pytest.mark.parametrize("channels", [1, 5])
def test_the_whole_way(tmp_path, channels, capsys):
    data = tmp_path / "data"
    for split in ("train", "val"):
        images, labels = data / split / "images", data / split / "labels"
        write_bands(images, "npy")
        labels.mkdir()
        for path in images.iterdir():
            photo = np.load(path)
            if channels == 1:
                cv2.imwrite(str(path.with_suffix(".png")), photo[..., 0])
                path.unlink()
            half = (np.arange(64) > 31).astype(np.uint8) * np.ones((48, 1), np.uint8)
            cv2.imwrite(str(labels / f"{path.stem}.png"), half)
    masks = make_masks(
        images=data / "train/images",
        out=tmp_path / "masks",
        channels=channels,
        workers=1,
        generator={"kind": "felzenszwalb", "scale": 50.0, "min_size": 50},
    )
    encoder = {"name": "resnet18", "width": 0.125, "stride": 16, "in_channels": channels}
    backbone = pretrain(
        images=data / "train/images",
        masks=masks,
        out=tmp_path / "run",
        encoder=encoder,
        method={"kind": "detcon_b", "hidden": 16, "outputs": 8},
        views={"size": 32},
        batch_size=4,
        steps=2,
        workers=0,
    )
    assert f"photos of {channels} channels: changes of saturation" in capsys.readouterr().err
    loaded = load_backbone(backbone)
    assert loaded.encoder.conv1.weight.shape[1] == channels
    assert len(loaded.normalisation.mean) == channels
    fcn = {"crop": 32, "steps": 2, "batch_size": 2, "head_channels": 8}
    for task, few in (("linear_segmentation", {}), ("segmentation", fcn)):
        (result,) = transfer(
            data=data, task={"kind": task, **few}, backbone=backbone, out=tmp_path / task, workers=0
        )
        assert 0 <= result.value <= 100


def test_says_when_the_normalisation_is_of_other_channels(tmp_path):
    with pytest.raises(ValueError, match=r"has 3 means and 3 deviations, but encoder\.in_chan"):
        pretrain(
            images=tmp_path,
            out=tmp_path / "run",
            encoder={"in_channels": 4},
            normalisation={"mean": [0.5] * 3, "std": [0.2] * 3},
        )
