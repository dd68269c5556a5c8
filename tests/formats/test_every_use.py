"""Formats with label maps alone serve masks and scoring too: CamVid, SceneParsing of ADE20K."""

import layouts
import numpy as np
import pytest
from PIL import Image

from detcon.formats.errors import AnnotationError
from detcon.formats.registry import FORMATS, find_format, open_label_maps
from detcon.masks.quality.truth import open_truth
from detcon.masks.sources import FromAnnotations

PHOTO = np.zeros((6, 8, 3), np.uint8)


def scene_parsing(root):
    for part in ("training", "validation"):
        layouts.save(root / "images" / part / "ADE_1.jpg", layouts.PHOTO)
        labels = layouts.CLASSES % 151
        layouts.save(root / "annotations" / part / "ADE_1.png", labels)
    rows = [f"{n}\t0.1\t1\t1\tthing {n}, other name" for n in range(1, 151)]
    layouts.save_text(
        root / "objectInfo150.txt", "\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows])
    )


def camvid(root):
    layouts.camvid(root)
    layouts.save(root / "valannot" / "0001TP_006690.png", np.minimum(layouts.CLASSES, 11))


MAKERS = {"camvid": (camvid, "0001TP_006690.png"), "ade20k": (scene_parsing, "ADE_1.jpg")}


@pytest.mark.parametrize("format", MAKERS)
def test_each_class_is_a_mask_and_void_is_none(tmp_path, format):
    make, key = MAKERS[format]
    make(tmp_path)
    labels = open_label_maps(tmp_path, format, "val").labels(key)
    assert (labels == 255).any() and len(np.unique(labels)) > 2
    expected = labels == np.unique(labels[labels < 255])[:, None, None]
    masks = FromAnnotations(str(tmp_path), format=format, split="val")(PHOTO, key)
    truth = open_truth(tmp_path, format=format, split="val")[key]
    assert np.array_equal(masks.stack(), expected)
    assert np.array_equal(truth.marked[0].stack(), expected)
    assert np.array_equal(truth.void, labels == 255)


def test_scene_parsing_has_its_150_classes(tmp_path):
    scene_parsing(tmp_path)
    maps = open_label_maps(tmp_path, "ade20k", "train")
    ids = np.array(Image.open(tmp_path / "annotations/training/ADE_1.png")).astype(int)
    assert np.array_equal(maps.labels("ADE_1.jpg"), np.where(ids == 0, 255, ids - 1))
    assert maps.names[:2] == ("thing 1", "thing 2") and len(maps.names) == 150
    layouts.save(tmp_path / "annotations/training/ADE_1.png", ids.astype(np.uint8) + 151)
    with pytest.raises(AnnotationError, match=r"ADE_1\.png holds class \d+, but SceneParsing's cl"):
        maps.labels("ADE_1.jpg")
    (tmp_path / "objectInfo150.txt").unlink()
    assert open_label_maps(tmp_path, "ade20k", "val").names[0] == "class 1"


def test_what_is_wrong_with_ade20k_is_said(tmp_path):
    layouts.ade20k(tmp_path)
    with pytest.raises(AnnotationError, match="split=val is for SceneParsing, but .* isn't laid"):
        FromAnnotations(str(tmp_path), format="ade20k", split="val")(
            PHOTO, "ADE_train_00000001.jpg"
        )
    with pytest.raises(AnnotationError, match=r"no folder .*images/training; SceneParsing"):
        open_label_maps(tmp_path, "ade20k", "train")


@pytest.mark.parametrize("format", ["nyu", "imagenet"])
def test_formats_without_regions_say_so(tmp_path, format):
    with pytest.raises(AnnotationError, match=f"format '{format}' has no masks; formats that have"):
        FromAnnotations(str(tmp_path), format=format)(PHOTO, "a.jpg")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_something(name):
    found = find_format(name)
    assert any((found.label_maps, found.objects, found.depth, found.classes, found.segments))
