"""Lists and tables that are no UTF-8 text: each reader names the file and says how to save it."""

import json

import cv2
import numpy as np
import pytest

from detcon.config import load_recipe
from detcon.data.classes import ClassesError, read_classes
from detcon.files import read_text
from detcon.formats.reading.beside import read_json
from detcon.formats.reading.holdout import Holdout
from detcon.formats.voc.reader import open_voc
from detcon.formats.voc_xml import read_voc_xml
from detcon.formats.yolo import read_yolo
from detcon.masks.recipe import MasksRecipe
from detcon.photos import open_photos


def yolo(path):
    """A data set of one photo, beside the file that is tried."""
    root = path.parents[1] if path.parent.name == "labels" else path.parent
    (root / "images").mkdir()
    cv2.imwrite(str(root / "images/é.png"), np.zeros((9, 9, 3), np.uint8))
    (root / "labels").mkdir(exist_ok=True)
    for name, text in (("classes.txt", "cat"), ("labels/é.txt", "0 0.5 0.5 0.5 0.5")):
        if root / name != path:
            (root / name).write_text(text)
    return read_yolo(root)


def voc(path):
    """VOC's lists lie in ImageSets/Segmentation."""
    root = path.parents[2]
    for part in ("JPEGImages", "SegmentationClass"):
        (root / part).mkdir()
    return open_voc(root, "train")


def voc_xml(path):
    root = path.parents[2]
    cv2.imwrite(str(root / "é.png"), np.zeros((9, 9, 3), np.uint8))
    (root / "é.xml").write_text("<annotation><filename>é.png</filename></annotation>")
    return read_voc_xml(root)


TEXTS = {
    "photos.txt": ("é.png\n", open_photos),
    "photos.csv": ("path\né.png\n", open_photos),
    "groups.csv": ("é.png,a\n", lambda path: Holdout(0.5, str(path)).is_val(["é.png"])),
    "of photos.csv": ("path,class\né.png,a\n", lambda path: read_classes(str(path), ["é.png"])),
    "classes.txt": ("é\n", yolo),
    "data.yaml": ("names: [é]\n", yolo),
    "labels/é.txt": ("0 0.5 0.5 0.5 0.5 é\n", yolo),
    "ImageSets/Segmentation/train.txt": ("é\n", voc),
    "ImageSets/Main/train.txt": ("é\n", voc_xml),
    "labelme.json": (json.dumps({"é": 1}, ensure_ascii=False), read_json),
    "recipe.yaml": ("images: é\n", lambda path: load_recipe(MasksRecipe, path, {"out": "o"})),
}


@pytest.mark.parametrize("code", ["latin-1", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("name", TEXTS)
def test_text_that_is_not_utf_8_is_named_with_what_to_do(tmp_path, name, code):
    text, read = TEXTS[name]
    if name.endswith(".json") and code != "latin-1":
        pytest.skip("JSON may be UTF-16")
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(code))
    with pytest.raises(ValueError, match="it is not UTF-8 text; save it so") as caught:
        read(path)
    assert str(path) in str(caught.value) and "codec" not in str(caught.value)


def test_text_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "a.txt").write_bytes("é".encode("utf-8-sig"))
    assert read_text(tmp_path / "a.txt") == "é"


@pytest.mark.parametrize(
    "name, read, sentence",
    [
        ("c.csv", lambda p: read_classes(str(p), ["a.png"]), "a.png in the classes cat and dog"),
        ("g.csv", lambda p: Holdout(0.5, str(p)).is_val(["a.png"]), "a.png in the groups cat and"),
    ],
)
def test_a_photo_in_two_classes_or_groups_is_refused(tmp_path, name, read, sentence):
    (tmp_path / name).write_text("path,class\na.png,cat\nb.png,cat\na.png,dog\n")
    with pytest.raises(ValueError, match=f"{name} has {sentence}.*; remove one line"):
        read(tmp_path / name)


def test_lines_of_classes_without_a_photo_are_counted(tmp_path, capsys):
    path = tmp_path / "c.csv"
    path.write_text("path,class\n./a.png,cat\nb/../b.png,dog\nc.png,dog\n")
    assert read_classes(str(path), ["a.png", "b.png"]) == ([0, 1], ["cat", "dog"])
    assert capsys.readouterr().err == f"{path}: 1 line of no photo, the first is c.png\n"


def test_classes_with_a_quote_that_has_no_end_are_a_sentence(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text('path,class\na.png,"cat\n' + "b.png,dog\n" * 20_000)
    with pytest.raises(ClassesError, match=r"cannot read the classes .*c\.csv: field larger"):
        read_classes(str(path), ["a.png"])
