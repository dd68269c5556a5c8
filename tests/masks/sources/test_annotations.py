"""Masks from data sets in their true layouts: written by the built-in scenes, or by hand."""

import dataclasses
import json
import pickle
import shutil

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image
from pycocotools.coco import COCO
from scipy.io import savemat

from detcon.config import RecipeError
from detcon.formats.errors import AnnotationError, NotAnnotated
from detcon.formats.segments import match_path
from detcon.masks import MaskGenerator
from detcon.masks.sources import FromAnnotations
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.masks.store.header import describe
from detcon.photos import Photos, open_photos
from detcon.scenes import make_scenes

SIZE = (48, 48)
BLANK = np.zeros((*SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of scenes by format, made when asked for."""
    folders = {}

    def make(format):
        if format not in folders:
            out = tmp_path_factory.mktemp("scenes") / format
            folders[format] = make_scenes(out=out, format=format, num=9, size=48, seed=5, workers=1)
        return folders[format]

    return make


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path)


def blank(*shape):
    return np.zeros((*shape, 3), np.uint8)


def as_sets(stack):
    """Masks as sets of pixels, whatever their order."""
    return sorted(tuple(np.flatnonzero(mask)) for mask in stack)


def coco_of(file, key):
    """What COCO's own tools draw: (masks, categories, crowds) of a photo."""
    theirs = COCO(str(file))
    number = next(i for i, image in theirs.imgs.items() if image["file_name"] == key)
    found = theirs.loadAnns(theirs.getAnnIds(imgIds=[number]))
    return [theirs.annToMask(one).astype(bool) for one in found], found


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("crowd", [False, True])
def test_objects_of_coco_are_what_its_own_tools_draw(made, split, crowd):
    data = made("coco")
    photos = open_photos(data / f"{split}2017")
    generate = FromAnnotations(str(data), format="coco", split=split, crowd=crowd)
    by_class = dataclasses.replace(generate, regions="classes")
    assert isinstance(generate, MaskGenerator) and pickle.loads(pickle.dumps(generate)) == generate
    for key in photos:
        drawn, found = coco_of(data / "annotations" / f"instances_{split}2017.json", key)
        kept = [i for i, one in enumerate(found) if crowd or not one["iscrowd"]]
        masks = generate(photos.read(key), key)
        assert np.array_equal(masks.stack(), np.reshape([drawn[i] for i in kept], (-1, *SIZE)))
        categories = sorted({found[i]["category_id"] for i in kept})
        union = [
            np.any([drawn[i] for i in kept if found[i]["category_id"] == c], axis=0)
            for c in categories
        ]
        assert as_sets(by_class(photos.read(key), key).stack()) == as_sets(union)


def test_segments_of_coco_and_what_they_leave_to_classes(made):
    data = made("coco")
    table = json.loads((data / "annotations" / "panoptic_train2017.json").read_text())
    generate = FromAnnotations(str(data), format="coco_panoptic", crowd=True)
    for one in table["annotations"]:
        with Image.open(data / "annotations" / "panoptic_train2017" / one["file_name"]) as png:
            ids = np.array(png).astype(int) @ [1, 256, 65536]
        key = one["file_name"].replace(".png", ".jpg")
        segments = one["segments_info"]
        assert np.array_equal(
            generate(BLANK, key).labels, np.unique(ids, return_inverse=True)[1].reshape(SIZE)
        )
        plain = dataclasses.replace(generate, crowd=False)(BLANK, key)
        assert as_sets(plain.stack()) == as_sets(
            ids == s["id"] for s in segments if not s["iscrowd"]
        )
        merged = dataclasses.replace(generate, regions="classes")(BLANK, key)
        assert as_sets(merged.stack()) == as_sets(
            np.isin(ids, [s["id"] for s in segments if s["category_id"] == category])
            for category in {s["category_id"] for s in segments}
        )


@pytest.mark.parametrize("regions", ["instances", "classes"])
def test_voc_with_its_border(made, regions):
    root = made("voc") / "VOCdevkit" / "VOC2012"
    part = "SegmentationObject" if regions == "instances" else "SegmentationClass"
    generate = FromAnnotations(str(made("voc")), format="voc", split="val", regions=regions)
    for path in sorted((root / part).glob("2008*.png")):
        ids = np.array(Image.open(path))
        assert (ids == 255).any(), "the border that is to be left out"
        numbers = sorted({*ids.ravel().tolist()} - {0, 255})
        masks = generate(BLANK, f"{path.stem}.jpg")
        assert np.array_equal(masks.stack(), ids == np.array(numbers)[:, None, None])
        assert np.array_equal(masks.labels < 0, np.isin(ids, [0, 255]))
        with_ground = dataclasses.replace(generate, background=True)(BLANK, f"{path.stem}.jpg")
        assert np.array_equal(with_ground.labels < 0, ids == 255)


def test_voc_has_sbd_besides(made):
    train = made("voc") / "benchmark_RELEASE" / "dataset" / "train.txt"
    key = f"{train.read_text().split()[0]}.jpg"
    assert FromAnnotations(str(made("voc")), format="voc")(BLANK, key).num_masks > 0


@pytest.mark.parametrize("crowd", [False, True])
def test_cityscapes_leaves_out_void_and_groups(made, crowd):
    data = made("cityscapes")
    generate = FromAnnotations(str(data), format="cityscapes", crowd=crowd)
    for path in sorted((data / "gtFine" / "train").rglob("*_instanceIds.png")):
        ids = np.array(Image.open(path)).astype(int)
        key = path.name.replace("gtFine_instanceIds", "leftImg8bit")
        groups = (ids >= 24) & (ids <= 33)
        none = ids < 7 if crowd else (ids < 7) | groups
        numbers = np.unique(ids[~none])
        masks = generate(BLANK, f"scenes/{key}")
        assert np.array_equal(masks.stack(), ids == numbers[:, None, None])
        labels = np.array(Image.open(str(path).replace("instanceIds", "labelIds"))).astype(int)
        merged = FromAnnotations(str(data), format="cityscapes", regions="classes")(BLANK, key)
        assert np.array_equal(merged.stack(), labels == np.unique(labels)[:, None, None])


def test_void_and_rectification_of_cityscapes_are_no_masks(made, tmp_path):
    data = shutil.copytree(made("cityscapes"), tmp_path / "cityscapes")
    path = next((data / "gtFine" / "train").rglob("*_instanceIds.png"))
    ids = np.repeat(np.array([0, 3, 6, 7, 26, 26000, 26001, 24000], np.uint16), 6)
    save(path, np.tile(ids, (48, 1)))
    key = path.name.replace("gtFine_instanceIds", "leftImg8bit")
    row = FromAnnotations(str(data), format="cityscapes")(BLANK, key).labels[0, ::6]
    assert row.tolist() == [-1, -1, -1, 0, -1, 2, 3, 1]


def test_a_labelled_folder_has_objects_and_classes_without_objects(tmp_path):
    labels, instances = np.zeros((2, 4, 6), np.uint8)
    labels[:, 3:] = 1
    labels[1:3, 1:5] = 2
    labels[0, 0], labels[3, 5] = 255, 9
    instances[1:3, 1:3], instances[1:3, 3:5] = 1, 2
    save(tmp_path / "labels" / "a" / "1.png", labels)
    save(tmp_path / "instances" / "a" / "1.png", instances)
    masks = FromAnnotations(str(tmp_path), format="folder", ignore=9)(blank(4, 6), "a/1.jpg")
    inside = 2 * [[0, 2, 2, 3, 3, 1]]
    expected = [[-1, 0, 0, 1, 1, 1], *inside, [0, 0, 0, 1, 1, -1]]
    assert masks.labels.tolist() == expected
    classes = FromAnnotations(str(tmp_path), format="folder", ignore=9, regions="classes")
    merged = np.where(np.array(expected) == 3, 2, expected)
    assert np.array_equal(classes(blank(4, 6), "a/1.jpg").labels, merged)


def test_a_labelled_folder_says_what_is_wrong(tmp_path):
    save(tmp_path / "labels" / "a.png", np.zeros((4, 6), np.uint8))
    generate = FromAnnotations(str(tmp_path), format="folder")
    with pytest.raises(NotAnnotated, match=r"no annotation .*/instances/a\.png for the photo"):
        generate(blank(4, 6), "a.jpg")
    save(tmp_path / "instances" / "a.png", np.zeros((4, 5), np.uint8))
    sentence = r"labels/a\.png is 4 x 6 .*instances/a\.png is 4 x 5"
    with pytest.raises(AnnotationError, match=sentence):
        generate(blank(4, 6), "a.jpg")
    with pytest.raises(ValueError, match=r"crowd=True means nothing .* format=folder"):
        FromAnnotations(str(tmp_path), format="folder", crowd=True)


def test_ade20k_reads_codes(tmp_path):
    red, green, blue = np.zeros((3, 4, 6), np.uint8)
    red[:, 1:] = 20  # 2 * 256
    red[:, 5] = 120  # 12 * 256: beyond 8 bits, and alike in the lower ones
    green[:, 1:] = 7
    blue[:2, 1:] = 1
    blue[2:, 1:] = 2
    save(tmp_path / "a" / "ADE_1_seg.png", np.dstack([red, green, blue]))
    objects = FromAnnotations(str(tmp_path), format="ade20k")(blank(4, 6), "a/ADE_1.jpg")
    assert objects.labels.tolist() == 2 * [[-1, 0, 0, 0, 0, 2]] + 2 * [[-1, 1, 1, 1, 1, 3]]
    classes = FromAnnotations(str(tmp_path), format="ade20k", regions="classes")
    assert classes(blank(4, 6), "a/ADE_1.jpg").labels.tolist() == 4 * [[-1, 0, 0, 0, 0, 1]]


def test_ade20k_says_what_is_wrong(tmp_path):
    generate = FromAnnotations(str(tmp_path), format="ade20k")
    with pytest.raises(
        NotAnnotated, match=r"no annotation .*/a_seg\.png for the photo a\.jpg; ADE"
    ):
        generate(BLANK, "a.jpg")
    save(tmp_path / "a_seg.png", BLANK[..., 0])
    with pytest.raises(AnnotationError, match=r"channels L, .* are RGB; .* take format=png"):
        generate(BLANK, "a.jpg")
    (tmp_path / "a_seg.png").write_bytes(b"GIF")
    with pytest.raises(AnnotationError, match=r"a_seg\.png is no PNG that can be read"):
        generate(BLANK, "a.jpg")


def save_people(path, *people):
    cells = np.empty((1, len(people)), object)
    for place, one in enumerate(people):
        cells[0, place] = {"Segmentation": np.array(one, np.uint16), "Boundaries": np.zeros((2, 3))}
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"groundTruth": cells}, do_compression=True)  # as the real ones are


def test_bsds_has_several_people(tmp_path):
    save_people(tmp_path / "train" / "12.mat", [[1, 1, 2]] * 2, [[1, 2, 9]] * 2, [[3, 4, 5]] * 2)
    most = FromAnnotations(str(tmp_path), format="bsds")
    assert most(blank(2, 3), "train/12.jpg").labels.tolist() == [[0, 1, 2]] * 2
    first = dataclasses.replace(most, which=0)
    assert first(blank(2, 3), "train/12.jpg").labels.tolist() == [[0, 0, 1]] * 2
    with pytest.raises(AnnotationError, match=r"12\.mat has the regions of 3 people, numbered fr"):
        dataclasses.replace(most, which=3)(blank(2, 3), "train/12.jpg")
    with pytest.raises(NotAnnotated, match=r"there is no annotation .*12\.mat for the photo 12"):
        most(blank(2, 3), "12.jpg")
    (tmp_path / "bad.mat").write_bytes(b"MATLAB")
    with pytest.raises(AnnotationError, match=r"bad\.mat can't be read: it is no MAT file of"):
        most(blank(2, 3), "bad.jpg")


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_bytes_of_bsds_are_read_or_refused(tmp_path_factory, changes):
    folder = tmp_path_factory.getbasetemp() / "bsds"
    if not (folder / "a.mat").exists():
        save_people(folder / "a.mat", [[1, 1, 2]] * 2, [[1, 2, 3]] * 2)
    mutated = bytearray((folder / "a.mat").read_bytes())
    for place, value in changes:
        mutated[place % len(mutated)] = value
    (folder / "b.mat").write_bytes(bytes(mutated))
    try:
        masks = FromAnnotations(str(folder), format="bsds")(blank(2, 3), "b.jpg")
    except AnnotationError:
        return
    assert masks.size == (2, 3)


def test_a_folder_of_pictures_is_a_mask_each(tmp_path):
    for number, mask in enumerate(([[1, 1, 0]], [[0, 1, 1]], [[0, 0, 0]])):
        save(tmp_path / "a" / "b" / f"{number}.png", np.array(mask, np.uint8) * 255)
    masks = FromAnnotations(str(tmp_path))(blank(1, 3), "a/b.jpg")
    assert masks.stack().tolist() == [[[True, True, False]], [[False, True, True]]]
    save(tmp_path / "a" / "b" / "3.png", np.zeros((2, 3), np.uint8))
    with pytest.raises(AnnotationError, match=r"/0\.png .*/3\.png .* 1 x 3 and 2 x 3 .*; correct"):
        FromAnnotations(str(tmp_path))(blank(1, 3), "a/b.jpg")
    (tmp_path / "a" / "c").mkdir()
    with pytest.raises(NotAnnotated, match=r"there is no PNG in .*/a/c for the photo a/c\.jpg"):
        FromAnnotations(str(tmp_path))(blank(1, 3), "a/c.jpg")


def write_coco(path, annotations, size=(4, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "images": [
            {"id": i, "file_name": name, "height": size[0], "width": size[1]}
            for i, name in enumerate(("a/1.jpg", "b/1.jpg", "b/2.jpg"))
        ],
        "annotations": [
            {"id": i, "image_id": 0, "category_id": 1, "bbox": [0, 0, 6, 4], "iscrowd": 0, **one}
            for i, one in enumerate(annotations)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    path.write_text(json.dumps(values))
    return FromAnnotations(str(path), format="coco")


LEFT = {"segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]}
RIGHT = {"segmentation": {"size": [4, 6], "counts": [8, 16]}, "iscrowd": 1}


def test_objects_overlap_and_what_is_free_may_be_a_mask(tmp_path):
    generate = write_coco(tmp_path / "my.json", [LEFT, RIGHT])
    row = lambda masks: masks.stack()[:, 0].astype(int).tolist()  # noqa: E731
    assert row(generate(blank(4, 6), "a/1.jpg")) == [[1, 1, 1, 1, 0, 0]]
    both = dataclasses.replace(generate, crowd=True)
    assert row(both(blank(4, 6), "x/a/1.jpg")) == [[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1]]
    ground = write_coco(tmp_path / "left.json", [LEFT])
    ground = dataclasses.replace(ground, background=True)
    assert row(ground(blank(4, 6), "a/1.jpg")) == [[1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]]
    assert row(ground(blank(4, 6), "2.jpg")) == [[1] * 6], "nothing but background"
    crowded = dataclasses.replace(generate, background=True)
    assert row(crowded(blank(4, 6), "a/1.jpg")) == [[1, 1, 1, 1, 0, 0]], "a crowd is no background"


def test_photos_without_annotation_are_up_to_the_user(tmp_path):
    error = write_coco(tmp_path / "my.json", [LEFT])
    with pytest.raises(NotAnnotated) as raised:
        error(blank(4, 6), "c/3.jpg")
    assert str(raised.value) == (
        f"the photo c/3.jpg is not annotated in {tmp_path}/my.json, which knows photos such as "
        f"a/1.jpg; generator.missing=none or generator.missing=whole allows that"
    )
    assert error(blank(4, 6), "b/2.jpg").num_masks == 0, "looked at, and nothing found"
    none, whole = (dataclasses.replace(error, missing=how) for how in ("none", "whole"))
    for key in ("c/3.jpg", "b/2.jpg"):
        assert none(blank(4, 6), key).num_masks == 0
        assert whole(blank(4, 6), key).stack().tolist() == np.ones((1, 4, 6), bool).tolist()
    assert whole(blank(4, 6), "a/1.jpg").num_masks == 1
    assert np.array_equal(
        whole(blank(4, 6), "a/1.jpg").stack(), none(blank(4, 6), "a/1.jpg").stack()
    )


def test_a_name_that_two_photos_have_is_refused(tmp_path):
    generate = write_coco(tmp_path / "my.json", [LEFT])
    with pytest.raises(AnnotationError, match=r"the photo 1\.jpg may be a/1\.jpg or b/1\.jpg of"):
        generate(blank(4, 6), "1.jpg")


def test_says_what_cannot_be_used(tmp_path):
    generate = write_coco(tmp_path / "my.json", [LEFT])
    with pytest.raises(AnnotationError) as raised:
        generate(blank(4, 7), "a/1.jpg")
    assert str(raised.value) == (
        f"the annotation of a/1.jpg in {tmp_path}/my.json is 4 x 6 pixels, but its photo a/1.jpg "
        f"is 4 x 7 pixels (upright); the two must match"
    )
    boxes = write_coco(tmp_path / "boxes.json", [{}])
    with pytest.raises(AnnotationError, match=r"boxes\.json holds boxes without a 'segmentation'"):
        boxes(blank(4, 6), "a/1.jpg")
    for format in ("png", "coco", "voc", "bsds"):
        with pytest.raises(
            AnnotationError, match="there are no annotations .*nowhere; check generator.fol"
        ):
            FromAnnotations(str(tmp_path / "nowhere"), format=format, missing="none")(BLANK, "a")


@pytest.mark.parametrize(
    "asked, sentence",
    [
        ({"format": "coco", "ignore": 0}, "ignore=0 means nothing in annotations of format=coco; "),
        ({"split": "val"}, "split=val means nothing in .* format=png; it is for coco, coco_pan"),
        ({"format": "voc", "crowd": True}, "crowd=True means nothing in .* format=voc; it is for"),
        ({"format": "coco", "which": 1}, "which=1 means nothing in annotations of format=coco"),
        ({"format": "bsds", "background": True}, "background=True means nothing"),
        ({"regions": "classes"}, "regions=classes means nothing"),
        ({"format": "bsds", "which": -1}, "which=-1 must be 0 or more"),
    ],
)
def test_settings_that_mean_nothing_are_refused(asked, sentence):
    with pytest.raises(ValueError, match=sentence):
        FromAnnotations("labels", **asked)


def test_stores_from_before_stay_what_they_are():
    header = describe(FromAnnotations("labels"), Photos("p", "p", ["a.jpg"]), 256)
    assert header["generator"] == {
        "folder": "labels", "ignore": 255, "background": False, "kind": "annotations",
    }  # fmt: skip
    assert header["fingerprint"] == "bfa23a810b22"
    later = describe(FromAnnotations("coco", format="coco"), Photos("p", "p", ["a.jpg"]), 256)
    assert later["generator"]["format"] == "coco" and "split" not in later["generator"]


@pytest.mark.parametrize("format", ["coco", "voc", "cityscapes"])
def test_a_store_from_the_command_line(made, tmp_path, format):
    images = {
        "coco": "train2017",
        "voc": "VOCdevkit/VOC2012/JPEGImages",
        "cityscapes": "leftImg8bit",
    }[format]
    settings = {
        "images": str(made(format) / images),
        "out": str(tmp_path / "m"),
        "generator.folder": str(made(format)),
        "generator.missing": "none",
        "workers": 1,
    }
    recipe = f"recipes/masks/{format}_annotations.yaml"
    store = MaskStore(make_masks(recipe, **settings))
    assert sum(store[key].num_masks for key in store.keys()) > 9  # noqa: SIM118
    with pytest.raises(ValueError, match="the default split, not split=val"):
        make_masks(recipe, **settings, **{"generator.split": "val"})
    with pytest.raises(RecipeError, match="'generator.format' cannot be 'pascal'"):
        make_masks(recipe, **settings, **{"generator.format": "pascal"})


names = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map("/".join)


@given(st.lists(names, max_size=6, unique=True), names)
def test_photos_are_found_by_their_ends(paths, key):
    whole = lambda one, other: other[-len(one) :] == one  # noqa: E731
    parts = [path.split("/") for path in paths]
    expected = [
        path for path, names in zip(paths, parts, strict=True)
        if whole(names, key.split("/")) or whole(key.split("/"), names)
    ]  # fmt: skip
    if key in paths:
        expected = [key]
    if len(expected) > 1:
        with pytest.raises(AnnotationError, match="may be"):
            match_path(key, paths)
    else:
        assert match_path(key, paths) == (expected[0] if expected else None)
