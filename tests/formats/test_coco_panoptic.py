"""Tests for detcon.formats.coco.panoptic."""

import contextlib
import copy
import json
import pickle
import shutil

import layouts
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from detcon.data.labelled.examples import LabelError
from detcon.downstream.tasks.segmentation.data import open_label_data
from detcon.formats.coco.panoptic import open_coco_panoptic, read_coco_panoptic
from detcon.formats.errors import AnnotationError

PHOTO = np.full((2, 3, 3), 90, np.uint8)
IDS = np.array([[0, 7, 7], [300, 300, 3226431]])
COLOURS = np.stack([IDS % 256, IDS // 256 % 256, IDS // 65536], 2).astype(np.uint8)


def example():
    segments = [
        {"id": 3226431, "category_id": 1, "iscrowd": 1},
        {"id": 7, "category_id": 200, "iscrowd": 0},
        {"id": 300, "category_id": 1, "iscrowd": 0},
    ]
    return {
        "images": [
            {"id": 5, "file_name": "b.jpg", "height": 2, "width": 3},
            {"id": 6, "file_name": "a.jpg", "height": 2, "width": 3},
        ],
        "categories": [
            {"id": 200, "name": "rug", "isthing": 0},
            {"id": 1, "name": "person", "isthing": 1},
        ],
        "annotations": [{"image_id": 5, "file_name": "b.png", "segments_info": segments}],
    }


def write_json(folder, values):
    (folder / "annotations" / "panoptic_val2017").mkdir(parents=True, exist_ok=True)
    (folder / "val2017").mkdir(exist_ok=True)
    path = folder / "annotations" / "panoptic_val2017.json"
    path.write_text(json.dumps(values))
    return path


@pytest.fixture
def data(tmp_path, write):
    write_json(tmp_path, example())
    write(tmp_path / "val2017" / "b.jpg", PHOTO)
    write(tmp_path / "annotations" / "panoptic_val2017" / "b.png", COLOURS)
    return tmp_path


def test_segments_and_labels(data):
    panoptic = pickle.loads(pickle.dumps(open_coco_panoptic(data, "val")))
    assert list(panoptic.keys) == ["b.jpg"], "the other photo has no annotation"
    assert panoptic.names == ("person", "rug")
    segments = panoptic.segments("b.jpg")
    assert np.array_equal(segments.ids, np.where(IDS == 0, -1, IDS))
    assert segments.classes == {3226431: 0, 7: 1, 300: 0} and segments.crowd == (3226431,)
    photo, labels = panoptic.pair("b.jpg")
    assert photo.shape == (2, 3, 3) and labels.tolist() == [[255, 1, 1], [0, 0, 0]]


def test_classes_of_train_and_val_are_the_same_or_refused(tmp_path):
    """Numbers would mean other classes, and the figure look right."""
    layouts.panoptic(tmp_path)
    shutil.copytree(tmp_path / "train2017", tmp_path / "val2017")
    parts = tmp_path / "annotations"
    shutil.copytree(parts / "panoptic_train2017", parts / "panoptic_val2017")
    values = json.loads((parts / "panoptic_train2017.json").read_text())
    (parts / "panoptic_val2017.json").write_text(json.dumps(values))
    assert open_label_data(tmp_path, format="coco_panoptic").names == ("car", "grass")
    values["categories"].insert(0, {"id": 1, "name": "bus", "isthing": 1})
    (parts / "panoptic_val2017.json").write_text(json.dumps(values))
    with pytest.raises(
        LabelError, match="have the classes car, grass, but .* have bus, car, grass;"
    ):
        open_label_data(tmp_path, format="coco_panoptic")


def first(values):
    return values["annotations"][0]["segments_info"][0]


@pytest.mark.parametrize(
    "spoil, sentence",
    [
        (lambda v: v.pop("categories"), "has no list of 'categories'"),
        (
            lambda v: v["annotations"][0].update(image_id=9),
            "annotation of the image 9, which isn't",
        ),
        (lambda v: v["annotations"].append(v["annotations"][0]), "two annotations of the image 5"),
        (
            lambda v: v["annotations"][0].pop("file_name"),
            "annotation of the image 5 .* has no 'file_name'; write the",
        ),
        (
            lambda v: v["annotations"][0].pop("segments_info"),
            "image 5 .* has no list 'segments_info'",
        ),
        (
            lambda v: first(v).update(category_id=3),
            "segment 3226431 of the image 5 .* category 3, wh",
        ),
        (
            lambda v: first(v).update(id=7),
            "image 5 of .* has the segment id 7, which is used twice",
        ),
        (
            lambda v: first(v).update(id=0),
            "image 5 of .* has the segment id 0, which is used twice",
        ),
    ],
)
def test_says_what_is_wrong_in_the_json(data, spoil, sentence):
    values = example()
    spoil(values)
    write_json(data, values)
    with pytest.raises(AnnotationError, match=sentence):
        open_coco_panoptic(data, "val")


def test_says_what_is_wrong_in_the_maps(data, write):
    path, panoptic = data / "annotations/panoptic_val2017/b.png", open_coco_panoptic(data, "val")
    with pytest.raises(AnnotationError, match=r"no photo c\.jpg in .*; did you mean 'b\.jpg'"):
        panoptic.segments("c.jpg")
    write(path, COLOURS + np.uint8(1))
    with pytest.raises(
        AnnotationError, match=r"b\.png holds the segment 65793, which isn't in .*json"
    ):
        panoptic.labels("b.jpg")
    write(path, COLOURS[:1])
    with pytest.raises(
        AnnotationError, match=r"b\.png is 1 x 3 pixels, but its photo .*b\.jpg is 2 x"
    ):
        panoptic.pair("b.jpg")
    write(path, COLOURS[..., 0])
    with pytest.raises(
        AnnotationError, match=r"b\.png has the channels L, but panoptic ids are RGB"
    ):
        panoptic.segments("b.jpg")
    path.write_bytes(b"none")
    with pytest.raises(AnnotationError, match=r"b\.png is no PNG that can be read"):
        panoptic.segments("b.jpg")
    path.unlink()
    with pytest.raises(AnnotationError, match=r"no annotation .*b\.png for the photo b\.jpg"):
        panoptic.segments("b.jpg")
    shutil.rmtree(path.parent)
    with pytest.raises(
        AnnotationError, match=r"no folder .*panoptic_val2017; it should hold what .*json lists;"
    ):
        open_coco_panoptic(data, "val")


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just([])
)


def places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, name))


PLACES = [path for path in places(example()) if path]


@given(st.sampled_from(PLACES), JUNK)
@settings(max_examples=150, deadline=None)
def test_any_json_is_read_or_refused(tmp_path_factory, place, junk):
    values = copy.deepcopy(example())
    inner = values
    for part in place[:-1]:
        inner = inner[part]
    inner[place[-1]] = junk
    folder = tmp_path_factory.getbasetemp() / "panoptic"
    path = write_json(folder, values)
    with contextlib.suppress(AnnotationError):
        panoptic = read_coco_panoptic(path, path.with_suffix(""), folder / "val2017")
        for key in panoptic.keys:
            panoptic.labels(key)
