"""Tests for detcon.downstream.labels: objects as outlines, and only those that are sure."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from labelformat.formats.pascalvoc import PascalVOCObjectDetectionInput
from PIL import Image
from pycocotools import mask as rle

from detcon.config import RecipeError
from detcon.downstream.labels import (
    regions_of,
    sure,
    write_folder,
    write_labelme,
    write_voc_xml,
    write_yolo,
)
from detcon.downstream.tasks.detection.detections import Detections
from detcon.formats.objects import Objects
from detcon.formats.registry import open_objects

NAMES = ("background", "cell", "wall")


@given(st.integers(0, 2**32), st.sampled_from([1.5, 3.0, 6.0]))
@settings(max_examples=30, deadline=None)
def test_regions_on_top_of_each_other_are_the_map(seed, blur):
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(size=(40, 50)).astype(np.float32), (0, 0), blur)
    labels = np.digitize(noise, np.quantile(noise, (0.4, 0.8))).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        write_labelme(Path(folder), "a.png", regions_of(labels, NAMES), NAMES)
        shapes = json.loads(Path(folder, "a.json").read_text())["shapes"]
    drawn = np.zeros_like(labels)
    for shape in shapes:  # which have no holes
        points = np.array(shape["points"]).ravel().tolist()
        mask = rle.decode(rle.frPyObjects([points], 40, 50))[..., 0]
        drawn[mask > 0] = NAMES.index(shape["label"])
    assert np.mean(drawn == labels) > 0.995


def test_polygons_are_the_masks(tmp_path):
    labels = np.zeros((40, 60), np.uint8)
    cv2.circle(labels, (20, 18), 12, 1, -1)
    cv2.rectangle(labels, (40, 5), (54, 30), 2, -1)
    found = regions_of(labels, NAMES)
    write_labelme(tmp_path, "sub/a.jpg", found, NAMES)
    content = json.loads((tmp_path / "sub/a.json").read_text())
    assert (content["imagePath"], content["imageHeight"], content["imageWidth"]) == (
        "a.jpg",
        40,
        60,
    )
    write_yolo(tmp_path, "sub/a.jpg", found)
    lines = (tmp_path / "labels/sub/a.txt").read_text().splitlines()
    for shape, line, number in zip(content["shapes"], lines, range(2), strict=True):
        label, *values = line.split()
        assert shape["label"] == NAMES[int(label)] and shape["group_id"] is None
        for points in (
            np.array(shape["points"]),
            np.array(values, float).reshape(-1, 2) * (60, 40),
        ):
            drawn = rle.decode(rle.frPyObjects([points.ravel().tolist()], 40, 60))[..., 0]
            assert np.array_equal(drawn > 0, found.objects.mask(number))


def two_parts_with_a_hole():
    mask = np.zeros((30, 40), np.uint8)
    mask[2:12, 2:12], mask[5:8, 5:8], mask[20:28, 20:38] = 1, 0, 1
    code = rle.encode(np.asfortranarray(mask))
    box = np.array([[2, 2, 38, 28]], np.float32)
    objects = Objects((30, 40), box, np.array([1]), np.array([False]), (code,))
    return Detections(objects, np.array([0.7])), mask


def test_an_object_of_two_parts_is_one(tmp_path):
    found, mask = two_parts_with_a_hole()
    write_labelme(tmp_path, "a.png", found, NAMES)
    shapes = json.loads((tmp_path / "a.json").read_text())["shapes"]
    assert [shape["group_id"] for shape in shapes] == [0, 0] and shapes[0]["description"] == "0.700"
    write_yolo(tmp_path, "a.png", found)
    (line,) = (tmp_path / "labels/a.txt").read_text().splitlines()
    points = np.array(line.split()[1:], float).reshape(-1, 2) * (40, 30)
    drawn = np.zeros((300, 400), np.uint8)  # ten times as fine: lines without area stay thin
    cv2.fillPoly(drawn, [np.round(points * 10).astype(int)], 1)
    assert np.mean(drawn[5::10, 5::10] == mask) > 0.98


def test_objects_join_a_labelled_folder(tmp_path):
    """Of two at one place the surer is on top; what it hides whole is counted and left out."""
    masks = np.zeros((4, 20, 30), np.uint8)
    masks[0, 2:9, 2:9], masks[1, 5:12, 5:12], masks[2, 3:5, 3:5], masks[3, 15:, :] = 1, 1, 1, 1
    codes = tuple(rle.encode(np.asfortranarray(mask)) for mask in masks)
    boxes = np.array([[2, 2, 9, 9], [5, 5, 12, 12], [3, 3, 5, 5], [0, 15, 30, 20]], np.float32)
    objects = Objects((20, 30), boxes, np.array([1, 2, 1, 0]), np.zeros(4, bool), codes)
    found = Detections(objects, np.array([0.9, 0.8, 0.7, 0.6]))
    assert write_folder(tmp_path / "train", "sub/a.jpg", found) == 1
    (tmp_path / "train/images/sub").mkdir(parents=True)
    Image.new("RGB", (30, 20)).save(tmp_path / "train/images/sub/a.jpg")
    (tmp_path / "classes.json").write_text(json.dumps({"names": NAMES, "ignore": 255}))
    read = open_objects(tmp_path, "folder", "train")
    again = read.objects("sub/a.jpg")
    masks[1, 5:9, 5:9] = 0
    assert read.names == NAMES and sorted(again.classes.tolist()) == [0, 1, 2]
    for number, label in enumerate(again.classes.tolist()):
        assert np.array_equal(again.mask(number), masks[[3, 0, 1][label]])
    labels = np.asarray(Image.open(tmp_path / "train/labels/sub/a.png"))
    assert labels[0, 0] == 255  # nobody has looked for other classes there
    nothing = sure(found, 0.95)
    assert write_folder(tmp_path / "train", "sub/a.jpg", nothing) == 0
    assert len(open_objects(tmp_path, "folder", "train").objects("sub/a.jpg")) == 0


def test_boxes_alone_and_only_what_is_sure(tmp_path):
    boxes = np.array([[10, 5, 30, 15], [0, 0, 4, 4]], np.float32)
    objects = Objects((20, 40), boxes, np.array([2, 1]), np.zeros(2, bool), ())
    found = sure(Detections(objects, np.array([0.9, 0.4])), 0.5)
    write_yolo(tmp_path, "a.png", found)
    assert (tmp_path / "labels/a.txt").read_text() == "2 0.500000 0.500000 0.500000 0.500000\n"
    write_labelme(tmp_path, "a.png", found, NAMES)
    (shape,) = json.loads((tmp_path / "a.json").read_text())["shapes"]
    assert shape["shape_type"] == "rectangle" and shape["points"] == [[10, 5], [30, 15]]
    write_yolo(tmp_path, "b.png", sure(found, 0.95))
    assert (tmp_path / "labels/b.txt").read_text() == ""


EDGES = st.lists(st.floats(-3, 45), min_size=4, max_size=4)


@given(st.lists(EDGES, min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_voc_xml_is_read_as_it_was_found_to_the_whole_pixel(edges):
    """By our reader, and by labelformat's."""
    boxes = np.sort(np.reshape(edges, (-1, 2, 2)), axis=1).reshape(-1, 4).astype(np.float32)
    boxes = np.concatenate([[[0, 0, 40, 30]], boxes]).astype(np.float32)
    classes = np.arange(len(boxes)) % 2 + 1
    objects = Objects((30, 40), boxes, classes, np.zeros(len(boxes), bool), ())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train/sub").mkdir(parents=True)
        Image.new("RGB", (40, 30)).save(folder / "train/sub/a.jpg")
        found = Detections(objects, np.ones(len(boxes)))
        assert write_voc_xml(folder / "train", "sub/a.jpg", found, NAMES, channels=3) == 0
        ours = open_objects(folder, "voc_xml", "train")
        read = ours.objects("train/sub/a.jpg")
        theirs = PascalVOCObjectDetectionInput(folder / "train/sub", "cell,wall")
        [second] = list(theirs.get_labels())
    left, top = np.rint(boxes[:, :2]).T
    right, bottom = np.rint(boxes[:, 2:]).T
    left, top = left.clip(0, 39), top.clip(0, 29)
    right = np.maximum(right, left + 1).clip(max=40)
    bottom = np.maximum(bottom, top + 1).clip(max=30)
    expected = np.stack([left, top, right, bottom], 1)
    of_second = [
        [one.box.xmin - 1, one.box.ymin - 1, one.box.xmax, one.box.ymax] for one in second.objects
    ]
    assert np.array_equal(of_second, expected)
    assert (second.image.width, second.image.height) == (40, 30)
    assert [one.category.name for one in second.objects] == [NAMES[n] for n in classes]
    kept = (right - left) * (bottom - top) > 1  # a single pixel is a click
    assert np.array_equal(read.boxes, expected[kept])
    assert [ours.names[n] for n in read.classes] == [NAMES[n] for n in classes[kept]]


def test_voc_xml_has_what_labelling_tools_write(tmp_path):
    found, _ = two_parts_with_a_hole()
    assert write_voc_xml(tmp_path, "sub/a & b.png", found, NAMES, channels=1) == 1  # an outline
    assert (
        (tmp_path / "sub/a & b.xml").read_text()
        == """<annotation>
  <filename>a &amp; b.png</filename>
  <size>
    <width>40</width>
    <height>30</height>
    <depth>1</depth>
  </size>
  <object>
    <name>cell</name>
    <pose>Unspecified</pose>
    <truncated>0</truncated>
    <difficult>0</difficult>
    <bndbox>
      <xmin>3</xmin>
      <ymin>3</ymin>
      <xmax>38</xmax>
      <ymax>28</ymax>
    </bndbox>
  </object>
</annotation>
"""
    )
    at_the_edge = replace(found.objects, boxes=np.array([[2, 2, 40, 28]], np.float32), segments=())
    assert write_voc_xml(tmp_path, "b.png", Detections(at_the_edge, found.scores), NAMES) == 0
    assert "<truncated>1" in (tmp_path / "b.xml").read_text()
    hole = replace(found.objects, classes=np.array([0]))  # of an outline, which boxes have not
    assert write_voc_xml(tmp_path, "c.png", Detections(hole, found.scores), NAMES) == 0
    assert "<object>" not in (tmp_path / "c.xml").read_text()


def test_a_format_that_is_none():
    from detcon.downstream.predicting import predict

    with pytest.raises(RecipeError, match="'format' cannot be 'voc'"):
        predict(model="m", images="i", out="o", format="voc")
