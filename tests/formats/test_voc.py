"""Tests for detcon.formats.voc.reader: VOC and SBD as they are downloaded."""

import contextlib
import pickle
import shutil

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.io import savemat

from detcon.formats.errors import AnnotationError
from detcon.formats.reading.ids import read_sbd
from detcon.formats.voc.reader import open_voc, open_voc_objects

PHOTO = np.full((4, 6, 3), 90, np.uint8)
CLASSES = np.array([[0, 0, 255, 15, 15, 15], [0, 255, 15, 15, 15, 7]] * 2, np.uint8)
OBJECTS = np.array([[0, 0, 255, 1, 1, 1], [0, 255, 1, 1, 1, 2]] * 2, np.uint8)


def write_mat(path, name, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    boundaries = np.empty((20, 1), object)
    boundaries.fill(np.zeros(ids.shape, np.uint8))
    truth = {"Segmentation": ids, "Boundaries": boundaries}
    savemat(path, {name: truth}, do_compression=True)


def write_list(path, stems):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(stems) + "\n")


@pytest.fixture
def data(tmp_path, write):
    """Two photos of VOC's train, one of its val; SBD has one of each, and one of its own."""
    voc, sbd = tmp_path / "VOCdevkit" / "VOC2012", tmp_path / "benchmark_RELEASE" / "dataset"
    for stem in ("2007_1", "2007_2", "2007_3", "2008_4"):
        write(voc / "JPEGImages" / f"{stem}.jpg", PHOTO)
    for stem in ("2007_1", "2007_2", "2007_3"):
        write(voc / "SegmentationClass" / f"{stem}.png", CLASSES)
        write(voc / "SegmentationObject" / f"{stem}.png", OBJECTS)
    write_list(voc / "ImageSets" / "Segmentation" / "train.txt", ["2007_1", "2007_2"])
    write_list(voc / "ImageSets" / "Segmentation" / "val.txt", ["2007_3"])
    for stem in ("2007_1", "2007_3", "2008_4"):
        write_mat(sbd / "cls" / f"{stem}.mat", "GTcls", np.where(CLASSES == 255, 0, CLASSES) % 9)
        write_mat(sbd / "inst" / f"{stem}.mat", "GTinst", np.where(OBJECTS == 255, 0, OBJECTS))
    write_list(sbd / "train.txt", ["2008_4", "2007_1"])
    write_list(sbd / "val.txt", ["2007_3"])
    return tmp_path


def test_all_of_sbd_but_voc_val_is_learnt(data):
    maps = open_voc(data, "train")
    assert list(maps.keys) == ["2007_1.jpg", "2007_2.jpg", "2008_4.jpg"]
    assert np.array_equal(maps.labels("2007_1.jpg"), CLASSES), "VOC's own labels win"
    assert maps.label_file("2008_4.jpg").suffix == ".mat"
    assert np.unique(maps.pair("2008_4.jpg")[1]).tolist() == [0, 6, 7]
    assert list(open_voc(data, "train", augmented=False).keys) == ["2007_1.jpg", "2007_2.jpg"]
    assert list(open_voc(data, "val").keys) == ["2007_3.jpg"]
    assert len(maps.names) == 21 and maps.names[15] == "person"


def test_objects(data):
    sets = open_voc_objects(data, "train")
    assert list(sets.keys) == ["2007_1.jpg", "2007_2.jpg", "2008_4.jpg"]
    objects = sets.objects("2007_2.jpg")
    assert [sets.names[label] for label in objects.classes] == ["person", "car"]
    assert objects.boxes.tolist() == [[2, 0, 6, 4], [5, 1, 6, 4]] and not objects.crowd.any()
    assert np.array_equal(objects.masks(), [OBJECTS == 1, OBJECTS == 2])
    assert sets.objects("2008_4.jpg").classes.tolist() == [5, 6]
    again = pickle.loads(pickle.dumps(sets))
    assert np.array_equal(again.objects("2008_4.jpg").masks(), sets.objects("2008_4.jpg").masks())


@pytest.mark.parametrize("inside", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_any_of_the_three_folders_will_do(data, inside):
    assert len(open_voc(data / inside, "train").keys) == 3


@pytest.mark.parametrize("line", ["{}", "/JPEGImages/{}.jpg /SegmentationClassAug/{}.png"])
def test_sbd_as_label_pngs(data, write, line):
    shutil.rmtree(data / "benchmark_RELEASE")
    assert len(open_voc(data, "train").keys) == 2
    voc = data / "VOCdevkit" / "VOC2012"
    write(voc / "SegmentationClassAug" / "2008_4.png", CLASSES)
    lines = [line.format(stem, stem) for stem in ("2008_4", "2007_1")]
    write_list(voc / "ImageSets" / "Segmentation" / "train_aug.txt", lines)
    maps = open_voc(data, "train")
    assert len(maps.keys) == 3 and maps.label_file("2008_4.jpg").suffix == ".png"
    assert len(open_voc_objects(data, "train").keys) == 2, "no objects in these"


VOC_FROM = "; VOC 2012 comes from host.robots.ox.ac.uk/pascal/VOC/voc2012"


@pytest.mark.parametrize("part", ["JPEGImages", "SegmentationClass", "ImageSets/Segmentation"])
def test_missing_parts_are_named(data, part):
    shutil.rmtree(data / "VOCdevkit" / "VOC2012" / part)
    with pytest.raises(AnnotationError, match=f"there is no folder .*/{part}{VOC_FROM}"):
        open_voc(data, "train")


def test_nothing_there(tmp_path):
    with pytest.raises(AnnotationError, match=f"there is no VOC 2012 in .*JPEGImages{VOC_FROM}"):
        open_voc(tmp_path, "train")


def test_missing_files_are_named(data):
    voc, sbd = data / "VOCdevkit" / "VOC2012", data / "benchmark_RELEASE" / "dataset"
    (voc / "SegmentationObject" / "2007_2.png").unlink()
    sentence = r"photo .*2007_2\.jpg has no labels: there is no file .*Object/2007_2\.png; VOC 2012"
    with pytest.raises(AnnotationError, match=sentence):
        open_voc_objects(data, "train")
    shutil.rmtree(voc / "SegmentationObject")
    with pytest.raises(AnnotationError, match=f"no folder .*/SegmentationObject{VOC_FROM}"):
        open_voc_objects(data, "train")
    (sbd / "val.txt").unlink()
    with pytest.raises(
        AnnotationError, match=r"no list .*/val\.txt; SBD comes from home\.bharathh"
    ):
        open_voc(data, "train")
    shutil.rmtree(sbd / "cls")
    with pytest.raises(
        AnnotationError, match=r"there is no folder .*/cls; SBD comes from home\.bhar"
    ):
        open_voc(data, "train")
    (voc / "ImageSets" / "Segmentation" / "val.txt").write_text("\n")
    with pytest.raises(AnnotationError, match=r"the list .*val\.txt is empty"):
        open_voc(data, "val")
    with pytest.raises(AnnotationError, match=r"there is no list .*/test\.txt"):
        open_voc(data, "test")


def test_sbd_that_was_asked_for(data):
    shutil.rmtree(data / "benchmark_RELEASE")
    sentence = "no benchmark_RELEASE/dataset next to .*SBD comes from home.*or give augmented=False"
    for open_of in (open_voc, open_voc_objects):
        with pytest.raises(AnnotationError, match=sentence):
            open_of(data, "train", augmented=True)


def test_what_is_wrong_in_a_map(data, write):
    voc = data / "VOCdevkit" / "VOC2012"
    write(voc / "SegmentationClass" / "2007_1.png", np.where(CLASSES == 7, 21, CLASSES))
    maps, objects = open_voc(data, "train"), open_voc_objects(data, "train")
    with pytest.raises(AnnotationError, match=r"2007_1\.png holds class 21, but VOC's classes go"):
        maps.labels("2007_1.jpg")
    with pytest.raises(AnnotationError, match=r"object 2 of .*2007_1\.png is of class 20, but"):
        objects.objects("2007_1.jpg")
    write(voc / "SegmentationClass" / "2007_2.png", CLASSES[:3])
    with pytest.raises(
        AnnotationError, match=r"2007_2\.png is 3 x 6 pixels, but its photo .*4 x 6"
    ):
        maps.pair("2007_2.jpg")
    with pytest.raises(
        AnnotationError, match=r"2007_2\.png is 3 x 6 pixels, but its photo .*4 x 6"
    ):
        objects.objects("2007_2.jpg")
    with pytest.raises(AnnotationError, match=r"no photo 2007_5\.jpg in .*; did you mean '2007_"):
        maps.labels("2007_5.jpg")
    with pytest.raises(AnnotationError, match=r"no photo 2007_5\.jpg in .*; did you mean '2007_"):
        objects.objects("2007_5.jpg")


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_mat_is_read_or_refused(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "any.mat"
    write_mat(path, "GTcls", CLASSES)
    data = bytearray(path.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path.write_bytes(bytes(data))
    with contextlib.suppress(AnnotationError):
        assert read_sbd(path).ndim == 2


def test_a_mat_of_something_else(tmp_path):
    with pytest.raises(AnnotationError, match=r"there is no annotation .*a\.mat"):
        read_sbd(tmp_path / "a.mat")
    write_mat(tmp_path / "a.mat", "groundTruth", CLASSES)
    with pytest.raises(
        AnnotationError, match=r"a\.mat is no file of SBD that can be read: it shou"
    ):
        read_sbd(tmp_path / "a.mat")
