"""Tests for detcon.formats.cityscapes and camvid."""

import shutil

import numpy as np
import pytest

from detcon.formats.camvid import open_camvid
from detcon.formats.cityscapes import CLASSES, open_cityscapes, open_cityscapes_objects
from detcon.formats.errors import AnnotationError

PHOTO = np.full((4, 6, 3), 90, np.uint8)
LABELS = np.arange(24, dtype=np.uint8).reshape(4, 6) + 10
INSTANCES = np.full((4, 6), 7, np.uint16)
INSTANCES[0, :2], INSTANCES[1, :3], INSTANCES[2, 4:] = 26000, 26001, 24000
INSTANCES[3, :2], INSTANCES[3, 2:4], INSTANCES[0, 5] = 26, 33005, 29001


@pytest.fixture
def data(tmp_path, write):
    for city, split in (("ulm", "train"), ("bonn", "train"), ("lindau", "val")):
        stem = f"{split}/{city}/{city}_000000_000019"
        write(tmp_path / "leftImg8bit" / f"{stem}_leftImg8bit.png", PHOTO)
        write(tmp_path / "gtFine" / f"{stem}_gtFine_labelIds.png", LABELS)
        write(tmp_path / "gtFine" / f"{stem}_gtFine_instanceIds.png", INSTANCES)
    return tmp_path


def test_nineteen_classes(data):
    maps = open_cityscapes(data, "train")
    assert [key.split("/")[0] for key in maps.keys] == ["bonn", "ulm"]
    assert len(maps.names) == 19 and maps.names[:3] == ("road", "sidewalk", "building")
    assert maps.names[13:] == ("car", "truck", "bus", "train", "motorcycle", "bicycle")
    labels = maps.pair(maps.keys[0])[1].ravel().tolist()
    trained = {11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11}
    trained |= {25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    assert labels == [trained.get(number, 255) for number in range(10, 34)]
    assert list(CLASSES) == sorted(CLASSES)


def test_objects_and_groups(data):
    sets = open_cityscapes_objects(data, "train")
    assert sets.names == (
        "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    )  # fmt: skip
    objects = sets.objects(sets.keys[0])
    assert [sets.names[label] for label in objects.classes] == [
        "car", "person", "car", "car", "bicycle",
    ]  # fmt: skip
    assert objects.crowd.tolist() == [True, False, False, False, False]
    wanted = [number == INSTANCES for number in (26, 24000, 26000, 26001, 33005)]
    assert np.array_equal(objects.masks(), wanted), "trailers and stuff are no objects"
    assert objects.boxes[2].tolist() == [0, 0, 2, 1]


def test_a_photo_without_objects(data, write):
    sets = open_cityscapes_objects(data, "val")
    write(sets.instances[sets.keys[0]], np.full((4, 6), 7, np.uint16))
    objects = sets.objects(sets.keys[0])
    assert len(objects) == 0 and objects.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    "part, package",
    [("leftImg8bit", "leftImg8bit_trainvaltest"), ("gtFine", "gtFine_trainvaltest")],
)
def test_missing_parts_are_named(data, part, package):
    shutil.rmtree(data / part / "val")
    sentence = f"there is no folder .*{part}/val; Cityscapes comes from cityscapes-dataset.com/.*"
    with pytest.raises(AnnotationError, match=sentence + package):
        open_cityscapes(data, "val")


def test_missing_files_are_named(data):
    stem = "lindau/lindau_000000_000019"
    (data / "gtFine" / "val" / f"{stem}_gtFine_labelIds.png").unlink()
    with pytest.raises(
        AnnotationError, match=r"_leftImg8bit\.png has no labels: .*labelIds\.png; C"
    ):
        open_cityscapes(data, "val")
    (data / "leftImg8bit" / "val" / f"{stem}_leftImg8bit.png").unlink()
    with pytest.raises(
        AnnotationError, match=r"no photos CITY/\*_leftImg8bit\.png in .*val; Citys"
    ):
        open_cityscapes(data, "val")


def test_an_id_that_is_none(data, write):
    maps = open_cityscapes(data, "val")
    write(maps.label_file(maps.keys[0]), LABELS + 30)
    with pytest.raises(AnnotationError, match=r"labelIds\.png holds the label id 63, but they go"):
        maps.labels(maps.keys[0])


def test_camvid(tmp_path, write):
    write(tmp_path / "train" / "a.png", PHOTO)
    write(tmp_path / "trainannot" / "a.png", np.where(LABELS > 21, 21, LABELS) - 10)
    maps = open_camvid(tmp_path, "train")
    assert maps.names[0] == "sky" and maps.names[10] == "bicyclist" and len(maps.names) == 11
    assert np.unique(maps.pair("a.png")[1]).tolist() == [*range(11), 255]
    write(tmp_path / "trainannot" / "a.png", LABELS)
    with pytest.raises(
        AnnotationError, match=r"a\.png holds class 33, but CamVid's .* 0 to 10 \(11"
    ):
        maps.labels("a.png")
    (tmp_path / "trainannot" / "a.png").unlink()
    with pytest.raises(
        AnnotationError, match=r"a\.png has no labels: there is no file .*annot/a\.p"
    ):
        open_camvid(tmp_path, "train")
    with pytest.raises(
        AnnotationError, match="no folder .*/val; CamVid in this layout comes from g"
    ):
        open_camvid(tmp_path, "val")
