"""Tests for detcon.masks.quality.truth: masks held against data sets as they are downloaded."""

import json
import pickle
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from detcon.formats.errors import AnnotationError
from detcon.masks.quality.overlap import Bounds
from detcon.masks.quality.scoring import score_stores
from detcon.masks.quality.truth import open_truth
from detcon.masks.sources import FromAnnotations, Grid
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.scenes import make_scenes

IMAGES = {
    "coco": "val2017",
    "coco_panoptic": "val2017",
    "voc": "VOCdevkit/VOC2012/JPEGImages",
    "cityscapes": "leftImg8bit/val",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of scenes by format, made when asked for."""
    folders = {}

    def make(format):
        layout = format.removesuffix("_panoptic")
        if layout not in folders:
            out = tmp_path_factory.mktemp("scenes") / layout
            folders[layout] = make_scenes(out=out, format=layout, num=9, size=48, seed=5, workers=1)
        return folders[layout]

    return make


@pytest.mark.parametrize("regions", ["instances", "classes"])
@pytest.mark.parametrize("format", IMAGES)
def test_annotations_are_perfect_masks_of_themselves(made, tmp_path, format, regions):
    asked = {"format": format, "split": "val", "regions": regions}
    same = FromAnnotations(str(made(format)), missing="none", **asked)
    images = made(format) / IMAGES[format]
    make_masks(images=images, out=tmp_path / "same", generator=same, workers=1)
    make_masks(images=images, out=tmp_path / "grid", generator=Grid(2), workers=1)
    truth = open_truth(made(format), **asked)
    stores = [MaskStore(tmp_path / "same"), MaskStore(tmp_path / "grid")]
    bounds = Bounds(0.0, 1.0)
    perfect, grid = score_stores(stores, truth, bounds=bounds)
    found = perfect.quality()
    assert found.average_best_overlap == found.covering == 1.0
    assert found.boundary_f == (None if format == "voc" else 1.0), "VOC's boundaries are void"
    assert grid.quality().average_best_overlap < 0.5
    [again] = score_stores([stores[1]], pickle.loads(pickle.dumps(truth)), bounds=bounds)
    assert again.quality() == grid.quality(), "workers may have it"


def test_void_of_coco_is_what_its_own_tools_draw_as_crowds_alone(made):
    file = made("coco") / "annotations" / "instances_train2017.json"
    truth, theirs, crowded = open_truth(made("coco"), format="coco"), COCO(str(file)), 0
    for number, image in theirs.imgs.items():
        found = theirs.loadAnns(theirs.getAnnIds(imgIds=[number]))
        drawn = np.array([theirs.annToMask(one) for one in found], bool).reshape(-1, 48, 48)
        crowd = np.array([one["iscrowd"] for one in found], bool)
        void = drawn[crowd].any(0) & ~drawn[~crowd].any(0)
        mine = truth[image["file_name"]]
        assert np.array_equal(np.zeros_like(void) if mine.void is None else mine.void, void)
        assert np.array_equal(mine.marked[0].stack(), drawn[~crowd])
        crowded += int(void.any())
    assert crowded


def void_of_voc(data):
    for path in sorted((data / "VOCdevkit/VOC2012/SegmentationObject").glob("2008*.png")):
        yield f"{path.stem}.jpg", np.array(Image.open(path)) == 255


def void_of_cityscapes(data):
    """After some pixels were made unlabelled, and others a group of cars."""
    for path in sorted((data / "gtFine/val").rglob("*_instanceIds.png")):
        ids = np.array(Image.open(path))
        ids[:5], ids[5:9, :20] = 3, 26
        Image.fromarray(ids).save(path)
        yield path.name.replace("gtFine_instanceIds", "leftImg8bit"), (ids < 7) | (ids == 26)


def void_of_panoptic(data):
    """After some pixels were made unlabelled, and the first segment of each photo a crowd."""
    table = data / "annotations/panoptic_val2017.json"
    values = json.loads(table.read_text())
    for one in values["annotations"]:
        path = data / "annotations/panoptic_val2017" / one["file_name"]
        colours = np.array(Image.open(path))
        colours[:5] = 0
        Image.fromarray(colours).save(path)
        one["segments_info"][0]["iscrowd"] = 1
        ids = colours.astype(int) @ [1, 256, 65536]
        table.write_text(json.dumps(values))
        crowds = [segment["id"] for segment in one["segments_info"] if segment["iscrowd"]]
        yield one["file_name"].replace(".png", ".jpg"), np.isin(ids, [0, *crowds])


@pytest.mark.parametrize(
    "format, voids",
    [("voc", void_of_voc), ("cityscapes", void_of_cityscapes), ("coco_panoptic", void_of_panoptic)],
)
def test_void_is_what_the_files_say(made, tmp_path, format, voids):
    data = shutil.copytree(made(format), tmp_path / "data")
    expected = dict(voids(data))
    truth = open_truth(data, format=format, split="val")
    assert len(expected) > 1
    for key, void in expected.items():
        assert void.any() and np.array_equal(truth[key].void, void), key


def test_what_has_no_class_in_ade20k_is_void(tmp_path):
    codes = np.zeros((4, 6, 3), np.uint8)
    codes[:, 2:] = (20, 7, 1)
    Image.fromarray(codes).save(tmp_path / "a_seg.png")
    truth = open_truth(tmp_path, format="ade20k")
    assert (
        np.array_equal(truth["a.jpg"].void, codes[..., 0] == 0) and truth.annotated(["b.jpg"]) == []
    )


def polygon(left, right):
    return [[left, 0, right, 0, right, 10, left, 10]]


@pytest.fixture
def overlapping(tmp_path):
    """A photo of 10 x 20 with two objects that share columns 4 to 8, and a crowd on 6 to 16."""
    objects = [
        (polygon(0, 8), 0),
        (polygon(4, 12), 0),
        ({"size": [10, 20], "counts": [60, 100, 40]}, 1),
    ]
    values = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "height": 10, "width": 20} for i in range(2)
        ],
        "annotations": [
            {"id": i, "image_id": 0, "category_id": 1, "bbox": [0, 0, 20, 10], "iscrowd": crowd,
             "segmentation": one, "area": 80}
            for i, (one, crowd) in enumerate(objects)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }  # fmt: skip
    (tmp_path / "my.json").write_text(json.dumps(values))
    labels = np.full((10, 20), 0, np.uint8)
    labels[:, :8], labels[:, 8:18] = 1, 2
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            cv2.imwrite(str(tmp_path / folder / f"{number}.png"), labels)
    exact = FromAnnotations(str(tmp_path / "masks"))
    make_masks(images=tmp_path / "photos", out=tmp_path / "store", generator=exact, workers=1)
    return tmp_path


def test_objects_that_overlap_are_regions_that_overlap(overlapping):
    """Masks on columns 0 to 8 and 8 to 18; the crowd's columns 12 to 16 count for nobody."""
    truth = open_truth(overlapping / "my.json", format="coco")
    store = MaskStore(overlapping / "store")
    [found] = score_stores([store], truth)
    tally = found.tallies["0.png"]
    second = max(
        4 / 12, 4 / 10
    )  # of 4 to 12: with 0 to 8; with 8 to 12 and 16 to 18, void left out
    assert tally.regions == 2 and tally.overlap == pytest.approx(1 + second)
    assert (tally.over_50, tally.labelled) == (1, 160), "the shared columns count for both"
    assert found.tallies["1.png"].regions == 0, "looked at, and nothing was found"
    assert found.not_annotated == ("2.png",)


@pytest.mark.parametrize("format", IMAGES)
def test_data_sets_are_recognised(made, format):
    found = open_truth(made(format), split="val")
    assert found.format == format.removesuffix("_panoptic")


def test_says_what_cannot_be_the_truth(made, overlapping):
    (overlapping / "list.csv").touch()
    with pytest.raises(AnnotationError, match=r"cannot tell the format of .*list\.csv: .* format="):
        open_truth(overlapping / "list.csv")
    with pytest.raises(AnnotationError, match="ignore=0 means nothing in annotations of format=co"):
        open_truth(overlapping / "my.json", format="coco", ignore=0)
    with pytest.raises(AnnotationError, match=r"there are no annotations .*none; check truth="):
        open_truth(overlapping / "none", format="coco")
    truth = open_truth(made("coco"), format="coco", split="val")
    with pytest.raises(AnnotationError, match=r"none of the 3 photos .* split= says which"):
        score_stores([MaskStore(overlapping / "store")], truth)


def test_photos_may_have_a_picture_for_each_region(tmp_path):
    for number, columns in enumerate(((0, 6), (4, 9))):
        mask = np.zeros((4, 10), np.uint8)
        mask[:, slice(*columns)] = 255
        (tmp_path / "a" / "b").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "a" / "b" / f"{number}.png"), mask)
    truth = open_truth(tmp_path)
    assert truth.annotated(["a/b.jpg", "a/c.jpg"]) == ["a/b.jpg"]
    assert truth["a/b.jpg"].marked[0].stack().sum((1, 2)).tolist() == [24, 20]
