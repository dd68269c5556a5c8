"""format=auto: every layout is recognised by what lies in it, and what was taken is said."""

import drawn_layouts
import layouts
import numpy as np
import pytest

from detcon.formats.errors import AnnotationError
from detcon.formats.reading.holdout import Holdout
from detcon.formats.recognising import recognise
from detcon.formats.registry import FORMATS, open_classes, open_objects
from detcon.masks.quality.truth import open_truth
from detcon.masks.sources import FromAnnotations
from detcon.scenes import make_scenes

OTHERS = {
    "folder": layouts.folder, "voc": layouts.voc, "cityscapes": layouts.cityscapes,
    "camvid": layouts.camvid, "ade20k": layouts.ade20k, "coco_panoptic": layouts.panoptic,
    "bsds": layouts.bsds, "nyu": layouts.nyu, "imagenet": layouts.class_folders,
    "tfrecord": layouts.tfrecord,
}  # fmt: skip
MAKERS = {**drawn_layouts.MAKERS, **{name: (name, make) for name, make in OTHERS.items()}}


@pytest.mark.parametrize("layout", MAKERS)
def test_each_layout_is_recognised(layout, tmp_path):
    format, make = MAKERS[layout]
    make(tmp_path)
    found, sign = recognise(tmp_path)
    assert found == format and (tmp_path / sign).exists()


def test_no_format_is_left_out():
    drawn = {format for format, _ in drawn_layouts.MAKERS.values()}
    assert drawn | set(OTHERS) | {"png", "hugging_face"} == set(FORMATS)


@pytest.mark.parametrize("format", ["folder", "coco", "voc", "cityscapes"])
def test_scenes_are_recognised(format, tmp_path):
    make_scenes(out=tmp_path / "data", num=4, size=48, format=format, workers=1)
    assert recognise(tmp_path / "data")[0] == format


def test_frames_of_nyu_are_recognised(tmp_path):
    layouts.frames(tmp_path)
    assert recognise(tmp_path)[0] == "nyu"


def test_pngs_alone_are_png(tmp_path):
    layouts.save(tmp_path / "a" / "b.png", layouts.CLASSES)
    assert recognise(tmp_path) == ("png", "a/b.png")


def test_two_formats_at_once_are_never_chosen_between(tmp_path):
    drawn_layouts.yolo(tmp_path)
    drawn_layouts.labelme(tmp_path)
    with pytest.raises(AnnotationError, match=r"may be yolo \(data\.yaml\) or labelme \(.*\); say"):
        recognise(tmp_path)


def test_nothing_known_is_said(tmp_path):
    with pytest.raises(AnnotationError, match="there is no data set .*; check the path"):
        recognise(tmp_path / "none")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(AnnotationError, match="cannot tell the format of .*; say what it is with"):
        recognise(tmp_path)


def test_auto_serves_every_use(tmp_path):
    drawn_layouts.labelme(tmp_path)
    assert list(open_objects(tmp_path, "auto", "val").keys) == ["val/d.jpg", "val/e.jpg"]
    source = FromAnnotations(str(tmp_path), format="auto", split="val")
    assert source.format == "labelme"  # so that a store records what it is made of
    assert source(np.zeros((*drawn_layouts.SIZE, 3), np.uint8), "val/d.jpg").num_masks == 1
    truth = open_truth(tmp_path, format="auto", split="val")
    assert truth.annotated(["val/d.jpg"]) == ["val/d.jpg"]


def test_the_wrong_format_is_told_the_right_one(tmp_path):
    drawn_layouts.voc_xml(tmp_path)
    for format in ("yolo", "folder", "labelme", "cityscapes", "coco"):
        with pytest.raises(AnnotationError, match="looks like format=voc_xml, by Annotations/"):
            open_objects(tmp_path, format, "train")
    (tmp_path / "Annotations" / "a.xml").write_text("<annotation")
    with pytest.raises(AnnotationError) as error:  # what is wrong in the right one is no other
        open_objects(tmp_path, "voc_xml", "train")
    assert "looks like" not in str(error.value)


def test_another_format_that_reads_the_same_is_not_told(tmp_path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(AnnotationError, match="has 1 folders of classes") as error:
        open_classes(tmp_path, "folder", "train")
    assert "looks like" not in str(error.value)


def test_labels_of_labelimg_with_their_classes_beside_them(tmp_path):
    """It writes `classes.txt` into the folder of the label files."""
    drawn_layouts.yolo(tmp_path, layout="images")
    (tmp_path / "data.yaml").unlink()
    drawn_layouts.save_text(tmp_path / "labels" / "classes.txt", "cat\ndog\n")
    assert recognise(tmp_path)[0] == "yolo"
    objects = open_objects(tmp_path, "yolo", "train", holdout=Holdout(0.4))
    assert objects.names == ("cat", "dog")
    with pytest.raises(
        AnnotationError, match=r"^.* looks like format=yolo, by labels.*; give that"
    ):
        open_objects(tmp_path, "folder", "train", holdout=Holdout(0.4))
