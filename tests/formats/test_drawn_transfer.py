"""Transfer from labels as people have them: boxes alone, no split, a format that is recognised."""

import drawn_layouts
import pytest
import yaml

from detcon import make_masks, transfer
from detcon.config import RecipeError
from detcon.downstream.model_file import load_model
from detcon.formats.errors import AnnotationError
from detcon.formats.reading.holdout import Holdout
from detcon.formats.registry import open_objects
from detcon.notes import note
from detcon.report.score import score

SMALL = {
    "task": "detection", "task.crop": 64, "task.steps": 2, "task.batch_size": 2,
    "task.detector": {"channels": 8, "hidden": 8, "mask_layers": 1, "proposals": 8,
                      "rpn_batch": 8, "box_batch": 8, "anchor": 4},
    "encoder": {"name": "resnet18", "width": 0.125}, "loop.accelerator": "cpu",
    "loop.precision": "32", "backbone": "random",
}  # fmt: skip


def learnt(out):
    return yaml.safe_load((out / "seed0" / "recipe.yaml").read_text())


def test_boxes_alone_are_learnt_and_scored_as_boxes(tmp_path, capsys):
    drawn_layouts.voc_xml(tmp_path / "data")
    [result] = transfer(
        data=str(tmp_path / "data"), format="auto", out=str(tmp_path / "run"), **SMALL
    )
    said = capsys.readouterr().err
    assert "format=voc_xml, recognised by Annotations/" in said
    assert "boxes without masks; boxes alone are learnt" in said
    assert result.metric == "AP box"
    recipe = learnt(tmp_path / "run")
    assert recipe["format"] == "voc_xml" and recipe["task"]["detector"]["masks"] is False
    assert load_model(tmp_path / "run" / "seed0").names == ("cat", "dog")
    again = transfer(
        data=str(tmp_path / "data"), format="voc_xml", out=str(tmp_path / "run"), **SMALL
    )
    assert again == [result]  # the same run, however the format was named


def test_outlines_are_learnt_as_masks(tmp_path):
    drawn_layouts.labelme(tmp_path / "data")
    settings = SMALL | {"data": str(tmp_path / "data"), "format": "labelme"}
    [result] = transfer(out=str(tmp_path / "run"), **settings)
    assert (
        result.metric == "AP mask" and learnt(tmp_path / "run")["task"]["detector"]["masks"] is True
    )


def test_what_is_left_out_is_said_once_in_transfer_and_masks(tmp_path, capsys):
    drawn_layouts.labelme(tmp_path / "data")
    drawn_layouts.save_photo(tmp_path / "data" / "train" / "zz.jpg")
    words = "photos left out: 1 of 6 (no JSON), the first is"
    settings = SMALL | {"data": str(tmp_path / "data"), "format": "labelme"}
    transfer(out=str(tmp_path / "run"), **settings)
    assert capsys.readouterr().err.count(words) == 1
    note.cache_clear()
    make_masks(
        images=str(tmp_path / "data" / "val"), out=str(tmp_path / "masks"), workers=1,
        **{"generator.kind": "annotations", "generator.folder": str(tmp_path / "data"),
           "generator.format": "labelme", "generator.split": "val"},
    )  # fmt: skip
    assert capsys.readouterr().err.count(words) == 1
    page = score(
        masks=[str(tmp_path / "masks")], truth=str(tmp_path / "data"), format="auto", split="val",
        out=str(tmp_path / "score.html"),
    )  # fmt: skip
    assert f"{tmp_path / 'data'} (labelme, val)" in page.read_text()
    assert "format=labelme, recognised by train/a.json" in capsys.readouterr().err


def test_a_val_is_drawn(tmp_path, capsys):
    drawn_layouts.yolo(tmp_path / "data")
    text = (tmp_path / "data" / "data.yaml").read_text().replace("images/val", "images/train")
    (tmp_path / "data" / "data.yaml").write_text(text)
    settings = SMALL | {
        "data": str(tmp_path / "data"),
        "format": "yolo",
        "out": str(tmp_path / "run"),
    }
    with pytest.raises(AnnotationError, match="has no val: all its photos are together; give va"):
        transfer(**settings)
    transfer(**settings, val=0.2)
    assert learnt(tmp_path / "run")["val"] == 0.2
    keys = open_objects(tmp_path / "data", "yolo", "val", holdout=Holdout(0.2)).keys
    whole = len(list((tmp_path / "data" / "images" / "train").iterdir()))
    said, lines = capsys.readouterr(), (tmp_path / "run" / "seed0" / "val.txt").read_text()
    listed = [str(tmp_path / "data" / key) for key in keys]
    assert lines.splitlines() == listed and 0 < len(keys) < whole
    assert (
        said.err.count(
            f"val=0.2: {len(keys)} of {whole} photos are val, the first is {keys[0]}; "
            "val.txt in the folder of each seed lists them"
        )
        == 1
    )
    assert f"detection: AP mask in %, of {len(keys)} validation photo" in said.out
    with pytest.raises(RecipeError, match="val_groups is for a val that is drawn; give val=0.2"):
        transfer(**settings, val_groups="_")


def test_a_format_with_a_split_draws_none(tmp_path):
    with pytest.raises(
        AnnotationError, match="val= draws a split, but data in the format 'citysca"
    ):
        transfer(**SMALL, data=str(tmp_path), format="cityscapes", out="run", val=0.2)
