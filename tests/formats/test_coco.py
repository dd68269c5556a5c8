"""Tests for detcon.formats.coco.objects: what is read, and what is refused."""

import contextlib
import copy
import io
import json
import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from pycocotools import mask as rle
from pycocotools.coco import COCO

from detcon.formats.coco.objects import open_coco, open_object_segments as open_segments, read_coco
from detcon.formats.errors import AnnotationError
from detcon.formats.segments import SegmentOptions
from detcon.photos import UnreadablePhoto

SIZE = {"height": 20, "width": 30}
TRIANGLE = [2.37, 3.7, 12.3, 3.71, 12.3, 13.13]
CODE = rle.encode(np.asfortranarray(np.arange(600).reshape(20, 30) % 7 == 0, np.uint8))


def annotation(number, image, category, bbox, segmentation, **more):
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": bbox,
        "segmentation": segmentation,
        "iscrowd": 0,
        "area": 1.0,
    } | more


def example():
    return {
        "images": [
            {"id": 9, "file_name": "b.jpg", **SIZE},
            {"id": 4, "file_name": "a.jpg", **SIZE},
            {"id": 5, "file_name": "c.jpg", **SIZE},
            {"id": 6, "file_name": "d.jpg", **SIZE},
        ],
        "categories": [{"id": 90, "name": "cup"}, {"id": 3, "name": "car"}],
        "annotations": [
            annotation(1, 4, 90, [2, 3, 10, 10.5], [TRIANGLE, [0, 0, 5, 0, 5, 1.2]]),
            annotation(2, 9, 3, [-4, 15, 10, 10], [[0, 15, 6, 15, 6, 20]]),
            annotation(
                3, 4, 3, [0, 0, 30, 20], {"size": [20, 30], "counts": [100, 77, 423]}, iscrowd=1
            ),
            annotation(
                7, 4, 3, [0, 0, 30, 20], {"size": [20, 30], "counts": CODE["counts"].decode()}
            ),
            annotation(5, 9, 3, [40, 2, 5, 5], [[40, 2, 45, 2, 45, 7]]),
            annotation(6, 5, 3, [1, 1, 5, 5], {"size": [20, 30], "counts": [600]}, iscrowd=1),
        ],
    }


def write(folder, values):
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "val2017").mkdir(exist_ok=True)
    text = values if isinstance(values, str) else json.dumps(values)
    (folder / "annotations" / "instances_val2017.json").write_text(text)
    return folder


@pytest.fixture
def data(tmp_path):
    write(tmp_path, example())
    for name in "abcd":
        cv2.imwrite(str(tmp_path / "val2017" / f"{name}.jpg"), np.full((20, 30, 3), 90, np.uint8))
    return tmp_path


def test_reads_boxes_classes_and_ids(data):
    coco = open_coco(data, "val")
    assert coco.keys == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert coco.names == ("car", "cup") and coco.category_ids == (3, 90)
    assert coco.image_ids.tolist() == [4, 9, 5, 6]
    first, second, third, fourth = (coco.objects(key) for key in coco.keys)
    assert first.size == (20, 30)
    assert first.boxes.tolist() == [[2, 3, 12, 13.5], [0, 0, 30, 20], [0, 0, 30, 20]]
    assert first.classes.tolist() == [1, 0, 0] and first.crowd.tolist() == [False, True, False]
    assert second.boxes.tolist() == [[0, 15, 6, 20]], "clipped; the other is outside"
    assert third.crowd.tolist() == [True]
    assert len(fourth) == 0 and fourth.masks().shape == (0, 20, 30)
    assert coco.photo("a.jpg").shape == (20, 30, 3) and coco.photo("a.jpg", 1).shape == (20, 30, 1)


def test_masks_are_those_of_pycocotools(data):
    coco = open_coco(data, "val")
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(data / "annotations" / "instances_val2017.json"))
    for key, image in zip(coco.keys, coco.image_ids.tolist()):
        wanted = [theirs.annToMask(one) for one in theirs.imgToAnns[image] if one["id"] != 5]
        assert np.array_equal(coco.objects(key).masks(), np.array(wanted).reshape(-1, 20, 30))


@given(st.lists(st.floats(-5, 35), min_size=6, max_size=6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_polygons_lose_nothing(tmp_path_factory, points, hundredths):
    points = [round(number, 2) for number in points] if hundredths else points
    values = example()
    values["annotations"] = [annotation(1, 4, 3, [0, 0, 30, 20], [points])]
    folder = write(tmp_path_factory.getbasetemp() / "polygons", values)
    coco = read_coco(folder / "annotations" / "instances_val2017.json", folder / "val2017")
    code = coco.objects("a.jpg").segments[0]
    assert code["counts"] == rle.merge(rle.frPyObjects([points], 20, 30))["counts"]


def changed(data, *changes):
    """The data set after changes of some of its annotations, by their places."""
    values = example()
    for place, more in changes:
        values["annotations"][place] |= more
    return open_coco(write(data, values), "val")


def test_boxes_of_no_area_are_drawn_around_the_segmentation(data, capsys):
    """Of three objects with a good segmentation, none is lost."""
    coco = changed(
        data, (0, {"bbox": [0, 0, 0, 0]}), (3, {"bbox": None}), (4, {"segmentation": [TRIANGLE]})
    )
    objects = coco.objects("a.jpg")
    assert len(objects) == 3 and len(coco.objects("b.jpg")) == 2
    for box, mask in zip(objects.boxes[[0, 2]], objects.masks()[[0, 2]], strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert box.tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert capsys.readouterr().err == (
        f"{coco.annotations}: of 6 annotations 3 with a box of no area, which is drawn around the "
        f"segmentation (the first has the id 1)\n"
    )


def test_what_is_left_out_is_noted(data, capsys):
    coco = open_coco(data, "val")
    assert len(coco.objects("b.jpg")) == 1
    assert capsys.readouterr().err == (
        f"{coco.annotations}: of 6 annotations 1 left out, since nothing of them lies within the "
        f"picture (the first has the id 5)\n"
    )
    values = example()
    del values["annotations"][4]
    open_coco(write(data, values), "val")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("none", [[], [[]], None])
def test_a_box_alone_among_segmentations(data, capsys, none):
    """Boxes are learnt of all photos, masks of those where each object has one."""
    coco = changed(data, (0, {"segmentation": none}), (4, {"bbox": [1, 1, 5, 5]}))
    assert len(coco.objects("a.jpg")) == 3 and coco.objects("a.jpg").segments == ()
    assert len(coco.objects("b.jpg").segments) == 2
    assert (
        "1 with a box alone, so that their photos have boxes and no masks (the first has the id 1)"
        in (capsys.readouterr().err)
    )
    with pytest.raises(AnnotationError, match=r"'segmentation' for the photo .*a\.jpg; masks need"):
        open_segments(data, SegmentOptions(split="val")).read("val2017/a.jpg")


def test_empty_polygons_are_nothing(data):
    whole, coco = open_coco(data, "val"), changed(data, (0, {"segmentation": [TRIANGLE, [], []]}))
    one = changed(data, (0, {"segmentation": [TRIANGLE]}))
    assert np.array_equal(coco.objects("a.jpg").masks(), one.objects("a.jpg").masks())
    assert len(whole.objects("a.jpg")) == len(coco.objects("a.jpg"))


@pytest.mark.parametrize("value, crowd", [("0", False), ("1", True), (True, True), (None, False)])
def test_crowds_may_be_text(data, value, crowd):
    assert bool(changed(data, (0, {"iscrowd": value})).objects("a.jpg").crowd[0]) is crowd


def test_paths_of_windows(data):
    values = example()
    values["images"][0]["file_name"] = "x\\b.jpg"
    (data / "val2017" / "x").mkdir()
    (data / "val2017" / "b.jpg").rename(data / "val2017" / "x" / "b.jpg")
    coco = open_coco(write(data, values), "val")
    assert coco.keys[-1] == "x/b.jpg" and coco.photo("x/b.jpg").shape == (20, 30, 3)


def test_boxes_alone(data):
    values = example()
    for one in values["annotations"]:
        del one["segmentation"]
    objects = open_coco(write(data, values), "val").objects("a.jpg")
    assert len(objects) == 3 and objects.segments == ()


def test_workers_can_have_it(data):
    coco = open_coco(data, "val")
    again = pickle.loads(pickle.dumps(coco))
    assert np.array_equal(again.objects("a.jpg").masks(), coco.objects("a.jpg").masks())


# What can be wrong


def change(path, value):
    def apply(values):
        *parents, last = path
        for part in parents:
            values = values[part]
        if value is ...:
            del values[last]
        else:
            values[last] = value

    return apply


FIRST = ("annotations", 0)


@pytest.mark.parametrize(
    "path, value, sentence",
    [
        (["images"], ..., "has no list of 'images'; it takes 'images', 'annotations' and"),
        (["annotations"], {}, "has no list of 'annotations'"),
        (["annotations"], [], "holds no annotations; there is nothing to learn or to judge"),
        (["categories", 0, "id"], 3, "has 2 categories with the id 3; each must be unique"),
        (["categories", 0, "name"], "car", "has 2 categories with the name 'car'"),
        (["categories", 0, "name"], ..., "the category 90 of .*json has no 'name'"),
        (["images", 0, "id"], 4, "has 2 images with the id 4"),
        (["images", 0, "id"], "x", "an image of .*json has 'x' as 'id'; ids are whole numbers"),
        (["images", 0, "file_name"], "a.jpg", "has 2 images with the file name 'a.jpg'"),
        (["images", 0, "file_name"], ..., "the image 9 of .*json has no 'file_name'; w"),
        (["images", 0, "width"], 0, "the image 9 of .* has 20 and 0 as 'height' and 'width'; they"),
        ([*FIRST, "id"], 2, "has 2 annotations with the id 2"),
        ([*FIRST, "image_id"], 8, "annotation 1 of .*json belongs to the image 8, .* file; cor"),
        ([*FIRST, "category_id"], 7, "annotation 1 of .* belongs to the category 7, .* file; c"),
        ([*FIRST, "image_id"], None, r"\(with the id 1\) has None as 'image_id'; ids are whole"),
        ([*FIRST, "bbox"], [1, 2, 3], r"annotation 1 of .* has \[1, 2, 3\] as 'bbox'; it takes le"),
        ([*FIRST, "bbox"], [1, 2, 3, float("nan")], "as 'bbox'; it takes left, top, width and he"),
        ([*FIRST, "segmentation"], [[1, 2, 3, 4, 5]], "annotation 1 .*json has a polygon of 5 num"),
        ([*FIRST, "segmentation"], [[1, 2, 3, 4]], "a polygon of 4 numbers; .* at least three po"),
        ([*FIRST, "segmentation"], [[1, 2, 3, 4, 5, 1e9]], "a polygon that reaches far out of th"),
        ([*FIRST, "segmentation"], ["a"], "has a polygon that is no list of numbers"),
        ([*FIRST, "segmentation"], 5, "neither a list of polygons nor a run-length code; correct"),
        ([*FIRST, "iscrowd"], "no", "the annotation 1 of .*json has 'no' as 'iscrowd'; it takes 0"),
        (
            [*FIRST, "segmentation"],
            {"size": [20, 30], "counts": [3]},
            "'segmentation' of the annotation 1 .*json is a run-length code whose runs don't fill",
        ),
        (
            [*FIRST, "segmentation"],
            {"size": [30, 20], "counts": [600]},
            r"code of a mask of \[30, 20\] pixels, not \[20, 30\]",
        ),
    ],
)
def test_says_what_is_wrong(tmp_path, path, value, sentence):
    values = example()
    change(path, value)(values)
    with pytest.raises(AnnotationError, match=sentence) as error:
        open_coco(write(tmp_path, values), "val")
    assert "instances_val2017.json" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[1", "\ud800".encode("utf-8", "replace").decode()])
def test_broken_json(tmp_path, text):
    with pytest.raises(AnnotationError, match=r"val2017\.json is no JSON that can be read: .*copy"):
        open_coco(write(tmp_path, text), "val")


def test_nothing_within_the_pictures(tmp_path):
    values = example()
    values["annotations"] = values["annotations"][4:5]
    with pytest.raises(AnnotationError, match=r"no box of .*json lies within its picture"):
        open_coco(write(tmp_path, values), "val")


def test_missing_parts_are_named(tmp_path):
    with pytest.raises(
        AnnotationError, match=r"no annotations .*instances_train2017\.json; COCO's"
    ):
        open_coco(tmp_path, "train")
    folder = write(tmp_path, example())
    (folder / "val2017").rmdir()
    with pytest.raises(AnnotationError, match=r"there is no folder .*val2017; the photos of"):
        open_coco(folder, "val")


def test_photos_that_are_not_as_the_json_says(data):
    coco = open_coco(data, "val")
    cv2.imwrite(str(data / "val2017" / "a.jpg"), np.zeros((30, 20, 3), np.uint8))
    with pytest.raises(
        AnnotationError,
        match=r"the image 4 of .* is 20 x 30 pixels, but its photo .*a\.jpg is 30 x 20 ",
    ):
        coco.photo("a.jpg")
    (data / "val2017" / "b.jpg").unlink()
    with pytest.raises(UnreadablePhoto, match=r"there is no photo .*b\.jpg"):
        coco.photo("b.jpg")
    with pytest.raises(AnnotationError, match=r"no image aa\.jpg in .*; did you mean 'a\.jpg'"):
        coco.objects("aa.jpg")


@pytest.mark.parametrize("code", ["1", "PPPP", "\x01", "oooo", CODE["counts"].decode()[:-2]])
def test_damaged_codes_are_never_drawn(data, code):
    """pycocotools would show whatever is in memory where a code ends early."""
    values = example()
    values["annotations"][3]["segmentation"]["counts"] = code
    coco = open_coco(write(data, values), "val")
    with pytest.raises(AnnotationError, match=r"annotation 7 of .* a run-length code that doesn't"):
        coco.objects("a.jpg")


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.lists(st.integers(-9, 9), max_size=6),
)


def places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, name))


PLACES = [path for path in places(example()) if path]


@given(st.lists(st.tuples(st.sampled_from(PLACES), JUNK), min_size=1, max_size=3))
@settings(max_examples=250, deadline=None)
def test_any_json_is_read_or_refused(tmp_path_factory, changes):
    values = copy.deepcopy(example())
    for path, junk in changes:
        with contextlib.suppress(KeyError, IndexError, TypeError):
            change(path, junk)(values)
    folder = write(tmp_path_factory.getbasetemp() / "fuzz", values)
    with contextlib.suppress(AnnotationError):
        coco = read_coco(folder / "annotations" / "instances_val2017.json", folder / "val2017")
        for key in coco.keys:
            if len((objects := coco.objects(key)).segments) == len(objects):
                objects.masks()


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory, changes):
    folder = write(tmp_path_factory.getbasetemp() / "bytes", example())
    path = folder / "annotations" / "instances_val2017.json"
    data = bytearray(path.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path.write_bytes(bytes(data))
    with contextlib.suppress(AnnotationError):
        coco = read_coco(path, folder / "val2017")
        for key in coco.keys:
            if len((objects := coco.objects(key)).segments) == len(objects):
                objects.masks()
