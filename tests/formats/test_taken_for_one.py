"""Two things taken for one: photos that would share a label; and EXIF, which turns one of two."""

import json
import shutil

import cv2
import layouts
import numpy as np
import pytest
from PIL import Image

from detcon.formats.errors import AnnotationError
from detcon.formats.registry import open_depth, open_label_maps, open_objects
from detcon.formats.tfrecord.records import open_fh_records

LABELS = np.zeros((6, 8), np.uint8)


@pytest.fixture
def folder(tmp_path, write):
    for split in ("train", "val"):
        write(tmp_path / split / "images" / "a.jpg", np.zeros((6, 8, 3), np.uint8))
        write(tmp_path / split / "labels" / "a.png", LABELS)
        write(tmp_path / split / "instances" / "a.png", LABELS)
        write(tmp_path / split / "depth" / "a.png", LABELS.astype(np.uint16))
    (tmp_path / "classes.json").write_text('{"names": ["sky", "road"]}')
    return tmp_path


@pytest.mark.parametrize(
    "opener, name", [(open_label_maps, "labels"), (open_objects, "labels"), (open_depth, "depth")]
)
def test_two_photos_never_share_a_label(folder, write, opener, name):
    opener(folder, "folder", "train")
    write(folder / "train" / "images" / "a.png", np.ones((6, 8, 3), np.uint8))
    with pytest.raises(
        AnnotationError,
        match=rf"the photos a\.jpg and a\.png of .*images share the {name} .*a\.png",
    ):
        opener(folder, "folder", "train")


def test_an_annotation_of_the_unturned_photo_names_exif(folder):
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new("RGB", (8, 6)).save(folder / "train" / "images" / "a.jpg", exif=exif)
    maps = open_label_maps(folder, "folder", "train")
    assert maps.photo("a.jpg").shape == (8, 6, 3)
    with pytest.raises(AnnotationError) as raised:
        maps.pair("a.jpg")
    assert str(raised.value) == (
        f"{folder}/train/labels/a.png is 6 x 8 pixels, but its photo {folder}/train/images/a.jpg "
        f"is 8 x 6 pixels (upright); the two must match: photos are turned upright as their EXIF "
        f"orientation says, so turn the annotation too, or save the photo without its EXIF "
        f"orientation if it was annotated unturned"
    )
    cv2.imwrite(str(folder / "train" / "images" / "a.jpg"), np.zeros((6, 9, 3), np.uint8))
    with pytest.raises(AnnotationError, match=r"is 6 x 9 pixels \(upright\); the two must match$"):
        maps.pair("a.jpg")


def test_two_records_of_one_photo(tmp_path):
    layouts.tfrecord(tmp_path)
    first = tmp_path / "train-00000-of-02048"
    open_fh_records(tmp_path).maps("n01_1.JPEG")
    shutil.copy(first, tmp_path / "train-00001-of-02048")
    with pytest.raises(
        AnnotationError, match=r"there are two records of n01_1\.JPEG in .*, in train-00000-of-0"
    ):
        open_fh_records(tmp_path).maps("n01_1.JPEG")


def test_two_photos_with_one_panoptic_map(tmp_path):
    layouts.panoptic(tmp_path)
    path = tmp_path / "annotations" / "panoptic_train2017.json"
    values = json.loads(path.read_text())
    values["images"].append(values["images"][0] | {"id": 10, "file_name": "b.jpg"})
    values["annotations"].append(values["annotations"][0] | {"image_id": 10})
    path.write_text(json.dumps(values))
    with pytest.raises(AnnotationError, match=r"has 2 annotations with the file .*a\.png"):
        open_label_maps(tmp_path, "coco_panoptic", "train")
