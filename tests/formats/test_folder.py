"""Tests for detcon.formats.folder.labels and open; class folders by their format."""

import pickle

import numpy as np
import pytest

from detcon.formats.errors import AnnotationError
from detcon.formats.folder.labels import open_folder, open_folder_objects
from detcon.formats.format import ClassifiedPhotos, DepthMaps, LabelMaps, ObjectSets
from detcon.formats.registry import open_classes, open_depth, open_label_maps, open_objects
from detcon.photos import PhotosError

PHOTO = np.full((4, 6, 3), 90, np.uint8)
LABELS = np.array([[0, 0, 1, 1, 255, 2]] * 4, np.uint8)
INSTANCES = np.array([[0, 0, 1, 1, 1, 300]] * 4, np.uint16)


@pytest.fixture
def data(tmp_path, write):
    for split in ("train", "val"):
        write(tmp_path / split / "images" / "a" / "b.jpg", PHOTO)
        write(tmp_path / split / "images" / "c.png", PHOTO)
        for name in ("a/b.png", "c.png"):
            write(tmp_path / split / "labels" / name, LABELS)
            write(tmp_path / split / "instances" / name, INSTANCES)
            write(tmp_path / split / "depth" / name, INSTANCES)
    (tmp_path / "classes.json").write_text('{"names": ["sky", "cup", "car"], "ignore": 255}')
    return tmp_path


def test_labels(data):
    maps = open_folder(data, "train")
    assert list(maps.keys) == ["a/b.jpg", "c.png"] and maps.names == ("sky", "cup", "car")
    photo, labels = pickle.loads(pickle.dumps(maps)).pair("a/b.jpg")
    assert np.array_equal(labels, LABELS) and photo.shape == (4, 6, 3)
    assert maps.photo("c.png", channels=1).shape == (4, 6, 1)


def test_objects(data):
    sets = open_folder_objects(data, "val")
    objects = pickle.loads(pickle.dumps(sets)).objects("c.png")
    assert objects.classes.tolist() == [1, 2]
    assert objects.boxes.tolist() == [[2, 0, 5, 4], [5, 0, 6, 4]]
    assert np.array_equal(objects.masks(), [INSTANCES == 1, INSTANCES == 300])
    (data / "classes.json").write_text('{"names": ["sky", "cup"], "ignore": 2}')
    assert open_folder_objects(data, "val").objects("c.png").classes.tolist() == [1]


def test_classes_are_counted_where_no_file_names_them(data):
    (data / "classes.json").unlink()
    assert open_folder(data, "train").names == ("class 0", "class 1", "class 2")
    assert len(open_folder(data, "train", ignore=2).names) == 2
    assert len(open_folder(data, "train", num_classes=7).names) == 7
    labels = open_folder(data, "val", ignore=2).labels("c.png")
    assert np.unique(labels).tolist() == [0, 1, 255]


def test_says_what_is_wrong(data, write):
    with pytest.raises(
        AnnotationError, match=r"num_classes=5, but .*classes\.json names 3 classes"
    ):
        open_folder(data, "train", num_classes=5)
    write(data / "train" / "labels" / "c.png", np.where(LABELS == 2, 6, LABELS))
    sentence = r"c\.png holds class 6, but classes go from 0 to 2 .*; .* or give task.ignore=6"
    with pytest.raises(AnnotationError, match=sentence):
        open_folder(data, "train").labels("c.png")
    assert "classes.json (which has room for ids up to 253)" in open_folder(data, "train").wrong_id
    with pytest.raises(AnnotationError, match=r"object 300 of .*c\.png is of class 6, but classes"):
        open_folder_objects(data, "train").objects("c.png")
    write(data / "train" / "labels" / "c.png", LABELS[:2])
    with pytest.raises(
        AnnotationError, match=r"labels/c\.png is 2 x 6 pixels, but its photo .*c\.p"
    ):
        open_folder(data, "train").pair("c.png")
    (data / "train" / "labels" / "c.png").unlink()
    sentence = r"the photo .*c\.png has no labels: there is no file .*labels/c\.png"
    with pytest.raises(AnnotationError, match=sentence):
        open_folder(data, "train")
    (data / "train" / "labels" / "c.jpg").touch()
    advice = r"but c\.jpg: a JPEG doesn't keep numbers, export the labels as PNG"
    with pytest.raises(AnnotationError, match=advice):
        open_folder(data, "train")
    with pytest.raises(
        AnnotationError, match="no folder .*/test/images; labelled data needs train/"
    ):
        open_folder(data, "test")
    (data / "empty" / "images").mkdir(parents=True)
    (data / "empty" / "labels").mkdir()
    with pytest.raises(PhotosError, match="there are no photos in the folder .*empty/images"):
        open_folder(data, "empty")


def test_a_16_bit_label_that_is_no_class(data, write):
    (data / "classes.json").unlink()
    write(data / "val" / "labels" / "c.png", np.full((4, 6), 700, np.uint16))
    with pytest.raises(
        AnnotationError, match=r"c\.png holds class 700, .* the label, or give task\.ign"
    ):
        open_folder(data, "train")


def test_nothing_but_void(data, write):
    (data / "classes.json").unlink()
    for path in data.rglob("labels/**/*.png"):
        write(path, np.full((4, 6), 255, np.uint8))
    with pytest.raises(
        AnnotationError, match="all labels of .* are void; there is nothing to learn"
    ):
        open_folder(data, "train")


@pytest.mark.parametrize(
    "text",
    ["[1]", "{", '{"names": [1]}', '{"names": "ab"}', '{"names": ["a", "a"]}', "\0", "[" * 9],
)
def test_a_classes_file_that_is_not_understood(data, text):
    (data / "classes.json").write_text(text)
    with pytest.raises(AnnotationError, match=r"classes\.json is not understood; write"):
        open_folder(data, "train")


def test_classes_of_objects_without_names_are_numbered_as_those_of_label_maps(data):
    (data / "classes.json").unlink()
    names = open_folder_objects(data, "train").names
    assert names == open_folder(data, "train").names and names[0] == "class 0"


# Folders of classes


@pytest.fixture
def sorted_photos(tmp_path, write):
    for split, num in (("train", 2), ("val", 1)):
        for name in ("n02", "n01"):
            for number in range(num):
                write(tmp_path / split / name / f"{name}_{number}.jpeg", PHOTO)
    return tmp_path


def test_photos_that_are_not_sorted(sorted_photos, write):
    for number in range(2):
        write(sorted_photos / f"flat/train/n0{number}/a.jpeg", PHOTO)
    write(sorted_photos / "flat" / "val" / "ILSVRC2012_val_00000001.jpeg", PHOTO)
    sentence = "aren't sorted into folders of classes; .*ILSVRC2012_validation_ground_truth.txt"
    with pytest.raises(AnnotationError, match=sentence):
        open_classes(sorted_photos / "flat", "imagenet", "val")


# By name


def test_formats_by_name(data, sorted_photos):
    assert isinstance(open_label_maps(data, "folder", "train", num_classes=3), LabelMaps)
    assert isinstance(open_objects(data, "folder", "train"), ObjectSets)
    assert isinstance(open_depth(data, "folder", "train", unit=0.1), DepthMaps)


def test_classes_by_name(sorted_photos):
    assert isinstance(open_classes(sorted_photos, "imagenet", "val"), ClassifiedPhotos)


@pytest.mark.parametrize(
    "open_of, format, sentence",
    [
        (
            open_label_maps,
            "nyu",
            "'nyu' has no label maps; formats that have: folder, coco, coco_pan",
        ),
        (
            open_objects,
            "camvid",
            "'camvid' has no objects; formats that have: folder, coco, voc, ci",
        ),
        (open_depth, "voc", "'voc' has no depth; formats that have: folder, nyu"),
        (
            open_classes,
            "coco",
            "'coco' has no classes of whole photos; formats that have: folder, ima",
        ),
    ],
)
def test_formats_without_such_annotations(tmp_path, open_of, format, sentence):
    with pytest.raises(AnnotationError, match=f"data in the format {sentence}"):
        open_of(tmp_path, format, "train")


def test_maps_are_not_taken_for_classes(data):
    """`images`, `labels`, `instances` and `depth` were four classes: 100 % of val were right."""
    with pytest.raises(AnnotationError, match="with labels and instances and depth for each pixel"):
        open_classes(data, "folder", "train")
