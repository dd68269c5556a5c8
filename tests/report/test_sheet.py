"""Tests for detcon.report.sheet."""

import os

import cv2
import numpy as np
import pytest
from run_folders import scene, write_picture

from detcon.masks.sources import Grid
from detcon.masks.store.fill import make_masks
from detcon.models.backbone_file import load_backbone, save_backbone
from detcon.models.recipe import EncoderRecipe
from detcon.notes import note
from detcon.report import sheet
from detcon.report.output import OutputExists
from detcon.report.sheet import show


def shown(collection, tmp_path, **overrides):
    settings = {"images": str(collection.photos), "out": str(tmp_path / "sheet.png"), "num": 1}
    return show(**{**settings, **overrides})


def size(path):
    height, width, _ = cv2.imread(str(path)).shape
    return height, width


def test_a_row_a_photo_and_a_column_a_store(collection, tmp_path):
    make_masks(images=str(collection.photos), out=str(tmp_path / "grid"), workers=1,
               generator=Grid())  # fmt: skip
    alone = size(shown(collection, tmp_path, masks=str(collection.masks)))
    both = [str(collection.masks), str(tmp_path / "grid")]
    beside = size(shown(collection, tmp_path, masks=both))
    more = size(shown(collection, tmp_path, masks=both, num=2))
    assert beside[1] == pytest.approx(alone[1] * 5 / 4, abs=2)
    assert more[0] > beside[0] and more[1] == beside[1]


def test_the_same_sheet_again_and_another_with_another_seed(collection, tmp_path):
    masks = str(collection.masks)
    first = shown(collection, tmp_path, masks=masks).read_bytes()
    assert shown(collection, tmp_path, masks=masks).read_bytes() == first
    assert shown(collection, tmp_path, masks=masks, seed=1).read_bytes() != first


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"a$\\x$.png"])
def test_names_may_be_no_text_and_are_no_formulas(tmp_path, name):
    (tmp_path / "photos").mkdir()
    photo = cv2.imencode(".png", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    (tmp_path / "photos" / os.fsdecode(name)).write_bytes(photo)
    views = {"views": {"size": 64}}
    assert size(show(images=str(tmp_path / "photos"), out=str(tmp_path / "s.png"), **views))


def test_the_scale_of_the_views_is_said(collection, tmp_path, monkeypatch, capsys):
    """A run at 80 pixels has other regions than the sheet's usual 224."""
    titles = []
    note.cache_clear()
    monkeypatch.setattr(sheet, "_sheet", lambda rows, names, kind: titles.extend(names) or b"")
    shown(collection, tmp_path, views={"size": 80}, stride=16)
    assert "view 1, 80 x 80 pixels, stride 16" in titles
    said = "views of 80 x 80 pixels, stride 16; to see masks at the scale of a run, give views.size"
    assert said in capsys.readouterr().err


def test_photos_that_a_store_lacks_are_counted(tmp_path, capsys):
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "p" / name), np.full((64, 64, 3), 90, np.uint8))
    (tmp_path / "one.txt").write_text("p/a/1.png\np/a/2.png\n")
    (tmp_path / "two.txt").write_text("p/b/3.png\n")
    for name in ("one", "two"):
        make_masks(
            images=tmp_path / f"{name}.txt", out=tmp_path / name, generator=Grid(2), workers=1
        )
    (tmp_path / "all.txt").write_text("p/a/1.png\np/a/2.png\np/b/3.png\n")
    options = {"images": str(tmp_path / "all.txt"), "out": str(tmp_path / "s.png")}
    show(**options, masks=str(tmp_path / "one"), views={"size": 64})
    assert (
        f"1 photo of 3 not drawn, without an entry in the mask store {tmp_path}/one, the first is "
        f"p/b/3.png\n"
    ) in capsys.readouterr().err
    both = [str(tmp_path / "one"), str(tmp_path / "two")]
    with pytest.raises(ValueError, match=r"no photo of .*all\.txt is in all of masks=.*one,.*two;"):
        show(**options, masks=both, views={"size": 64})


def test_photos_alone_can_be_shown(collection, tmp_path):
    assert size(shown(collection, tmp_path, **{"views": {"size": 64}}))[1] > 800


def test_features_of_a_backbone_and_of_random_weights_have_columns(collection, tmp_path):
    recipe = EncoderRecipe(name="resnet18", width=0.125, stride=16)
    made = load_backbone("random", encoder=recipe)
    file = tmp_path / "run" / "backbone.safetensors"
    file.parent.mkdir()
    save_backbone(file, made.encoder, recipe, normalisation=made.normalisation)
    without = size(shown(collection, tmp_path))
    both = size(shown(collection, tmp_path, backbone=[str(file), "random"]))
    assert both[1] == pytest.approx(without[1] * 5 / 3, abs=2)
    with pytest.raises(ValueError, match="random has no architecture; name a file before it"):
        shown(collection, tmp_path, backbone="random")


def test_a_jpeg_is_smaller_and_knows_its_origin(collection, tmp_path):
    png = shown(collection, tmp_path)
    jpeg = shown(collection, tmp_path, out=str(tmp_path / "sheet.jpg"))
    assert shown(collection, tmp_path, out=str(jpeg)) == jpeg, "ours is replaced"
    assert size(jpeg) == size(png) and jpeg.stat().st_size < png.stat().st_size / 2


def test_leaves_the_pictures_of_others_alone(collection, tmp_path):
    write_picture(tmp_path / "sheet.png", cv2.imread(str(next(collection.photos.iterdir()))))
    before = (tmp_path / "sheet.png").read_bytes()
    with pytest.raises(OutputExists, match=r"sheet\.png exists and wasn't made by detcon"):
        shown(collection, tmp_path)
    assert (tmp_path / "sheet.png").read_bytes() == before


def test_says_when_the_masks_are_of_other_photos(collection, tmp_path):
    import numpy as np

    write_picture(tmp_path / "others" / "x.png", scene(np.random.default_rng(0))[0])
    with pytest.raises(ValueError, match="knows none of the 1 photos of .*others; give the folder"):
        shown(collection, tmp_path, images=str(tmp_path / "others"), masks=str(collection.masks))


def test_says_when_views_do_not_divide_into_cells(collection, tmp_path):
    with pytest.raises(ValueError, match="cannot divide 100 x 100 pixels evenly into 3 x 3 cells"):
        shown(collection, tmp_path, views={"size": 100})


def test_says_when_there_is_no_store(collection, tmp_path):
    with pytest.raises(ValueError, match="there is no mask store .*none"):
        shown(collection, tmp_path, masks=str(tmp_path / "none"))
