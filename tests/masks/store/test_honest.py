"""`detcon masks` says what came out: photos without masks, changed photos, settings to try next."""

import errno
import json
import os
import shutil
import time

import cv2
import numpy as np
import pytest

from detcon import convert_masks, embed, pretrain
from detcon.formats.errors import AnnotationError, NotAnnotated
from detcon.masks.quality.scoring import score_stores
from detcon.masks.quality.truth import open_truth
from detcon.masks.sources import Displaced, Felzenszwalb, FromAnnotations, Grid
from detcon.masks.store import MaskStore, resume
from detcon.masks.store.fill import make_masks
from detcon.masks.store.resume import say_newer_photos
from detcon.masks.store.shard import StoreError
from detcon.notes import note
from detcon.photos import open_photos
from detcon.report.sheet import show


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


@pytest.fixture
def photos(tmp_path):
    for name in "abcd":
        save(tmp_path / "photos" / f"{name}.png", np.full((12, 16, 3), ord(name), np.uint8))
    return tmp_path / "photos"


def annotate(folder, **marked):
    """PNGs of id 1, or of 0, which is no mask."""
    for name, value in marked.items():
        save(folder / f"{name}.png", np.full((12, 16), value, np.uint8))
    return FromAnnotations(str(folder))


def said(capsys):
    """What was told, without the closing count of photos and masks."""
    lines = capsys.readouterr().err.splitlines()
    return [line for line in lines if not line.endswith("masks each on average")]


def test_training_on_nothing_some_photos_without_masks_are_counted(photos, tmp_path, capsys):
    generator = annotate(tmp_path / "labels", a=1, b=0, c=255, d=1)
    out = make_masks(images=photos, out=tmp_path / "out", generator=generator, workers=1)
    [line] = said(capsys)
    assert line == "2 of 4 photos have no mask: b.png, c.png"
    assert MaskStore(out).empty() == ["b.png", "c.png"] and len(MaskStore(out)) == 4
    make_masks(images=photos, out=tmp_path / "out", generator=generator, workers=1)
    assert line in said(capsys), "said again of a finished store"


def test_photos_with_a_single_segment_are_counted_where_they_are_most(tmp_path, capsys):
    for name, value in (("a", 0), ("b", 0), ("c", 255)):
        photo = np.zeros((40, 40, 3), np.uint8)
        photo[:, 20:] = value
        save(tmp_path / "photos" / f"{name}.png", photo)
    asked = {"images": tmp_path / "photos", "workers": 1}
    coarse = Felzenszwalb(scale=100.0, min_size=900)
    make_masks(**asked, out=tmp_path / "coarse", generator=coarse)
    assert said(capsys)[-1] == (
        "3 of 3 photos have a single mask, and no region in them is told from another; for finer "
        f"ones give masks={tmp_path}/coarse_finer after: detcon masks images={tmp_path}/photos "
        f"out={tmp_path}/coarse_finer generator.scale=10.0 generator.min_size=90 workers=1"
    )
    make_masks(**asked, out=tmp_path / "fine", generator=Felzenszwalb(scale=10.0, min_size=90))
    assert "2 of 3 photos have a single mask" in said(capsys)[-1]
    shutil.copy(tmp_path / "photos/c.png", tmp_path / "photos/b.png")
    make_masks(**asked, out=tmp_path / "more", generator=Felzenszwalb(scale=10.0, min_size=90))
    assert not said(capsys), "where most have several, nothing is said"


def test_training_on_nothing_a_store_without_any_mask_is_an_error(photos, tmp_path):
    generator = annotate(tmp_path / "labels", a=0, b=0, c=255, d=0)
    asked = {"images": photos, "out": tmp_path / "out", "workers": 1}
    for _ in range(2):  # a finished store too
        with pytest.raises(StoreError, match="found no mask in any of the 4 photos"):
            make_masks(**asked, generator=generator)
    whole = FromAnnotations(generator.folder, missing="whole")
    with pytest.raises(StoreError, match="give another out=, or delete"):
        make_masks(**asked, generator=whole)
    assert MaskStore(make_masks(**asked | {"out": tmp_path / "new"}, generator=whole)).empty() == []


def test_training_on_nothing_names_that_match_no_annotation(photos, tmp_path):
    generator = FromAnnotations(annotate(tmp_path / "labels", other=1).folder, missing="none")
    with pytest.raises(StoreError, match="missing=none hides photos whose names match no anno"):
        make_masks(images=photos, out=tmp_path / "out", generator=generator, workers=1)


def test_stores_without_empty_photos_have_none(photos, tmp_path, capsys):
    out = make_masks(images=photos, out=tmp_path / "out", generator=Grid(2), workers=1)
    assert MaskStore(out).empty() == [] and said(capsys) == []


def test_advice_can_be_followed_where_nothing_is_stored_yet(photos, tmp_path):
    asked = {"images": photos, "out": tmp_path / "out", "workers": 1}
    generator = annotate(tmp_path / "labels", b=1)
    with pytest.raises(NotAnnotated, match=r"a.png .*\(3 of 4 photos are not .*whole allows"):
        make_masks(**asked, generator=generator)
    whole = FromAnnotations(generator.folder, missing="whole")
    store = MaskStore(make_masks(**asked, generator=whole))
    assert store.header["generator"]["missing"] == "whole" and len(store) == 4


def test_other_settings_are_refused_where_masks_are_stored(photos, tmp_path):
    asked = {"images": photos, "out": tmp_path / "out", "workers": 1}
    make_masks(**asked, generator=Grid(2), shard_size=2, shard="1/2")
    with pytest.raises(StoreError, match="was made with other parameters: it has rows=2, not row"):
        make_masks(**asked, generator=Grid(3), shard_size=2)


def test_stale_photos_added_and_removed_are_named(photos, tmp_path):
    asked = {"images": photos, "out": tmp_path / "out", "workers": 1, "generator": Grid(2)}
    make_masks(**asked)
    (photos / "b.png").unlink()
    for name in ("e.png", "f.png"):
        save(photos / name, np.zeros((12, 16, 3), np.uint8))
    with pytest.raises(StoreError, match="2 are new, such as e.png; 1 is gone, such as b.png"):
        make_masks(**asked)


def test_stale_photos_that_changed_are_named_and_done_again_with_check(photos, tmp_path, capsys):
    asked = {"images": photos, "out": tmp_path / "out", "workers": 1, "generator": Grid(2)}
    make_masks(**asked, shard_size=2)
    make_masks(**asked, shard_size=2)
    assert said(capsys) == ["all 4 photos had their masks already"]
    save(photos / "c.png", np.zeros((24, 10, 3), np.uint8))
    later = time.time() + 5
    os.utime(photos / "c.png", (later, later))
    make_masks(**asked, shard_size=2)
    assert said(capsys) == [
        "1 photo is newer than their masks: c.png; after a change, give --check to make these "
        "masks again"
    ]
    assert MaskStore(tmp_path / "out")["c.png"].size == (12, 16)
    make_masks(**asked, shard_size=2, check=True)
    assert "00001.masks: 1 photo is newer; its photos are done again" in said(capsys)[0]
    assert MaskStore(tmp_path / "out")["c.png"].size == (24, 10)


def test_stale_photos_newer_than_their_masks_are_said_by_who_uses_both(photos, tmp_path, capsys):
    store = MaskStore(make_masks(images=photos, out=tmp_path / "out", generator=Grid(2), workers=1))
    opened = open_photos(photos)
    say_newer_photos(store, opened)
    assert said(capsys) == []
    os.utime(photos / "c.png", (time.time() + 5,) * 2)
    users = {
        "pretrain": lambda: pretrain(
            images=photos, masks=store.folder, out=tmp_path / "run", batch_size=4, steps=1,
            workers=0, encoder={"name": "resnet18", "width": 0.0625}, views={"size": 32},
        ),
        "show": lambda: show(images=photos, masks=[store.folder], out=tmp_path / "sheet.png"),
        "embed": lambda: embed(
            images=photos, masks=store.folder, of="regions", out=tmp_path / "e.parquet",
            backbone=tmp_path / "run" / "backbone.safetensors",
        ),
        "convert": lambda: convert_masks(
            masks=store.folder, images=photos, to="tfrecord", num_files=1, out=tmp_path / "records",
            workers=1,
        ),
    }  # fmt: skip
    for use in users.values():
        note.cache_clear()
        use()
        assert (
            f"1 photo is newer than their masks in {store.folder}: c.png; if the pictures changed, "
            f"give the command that made the masks again, with --check"
        ) in said(capsys)


def test_stale_of_many_photos_some_are_looked_at(photos, tmp_path, capsys, monkeypatch):
    store = MaskStore(make_masks(images=photos, out=tmp_path / "out", generator=Grid(2), workers=1))
    for path in photos.iterdir():
        os.utime(path, (time.time() + 5,) * 2)
    monkeypatch.setattr(resume, "_LOOKED_AT", 3)
    say_newer_photos(store, open_photos(photos))
    [line] = said(capsys)
    assert "2 photos are newer than their masks in" in line
    assert "(of 2 that were looked at): a.png, c.png;" in line


def test_stale_photos_that_can_be_read_again_get_masks(photos, tmp_path, capsys):
    """A good copy may well be older than the masks: its date says nothing."""
    asked = {"images": photos, "out": tmp_path / "out", "workers": 1, "generator": Grid(2)}
    whole = (photos / "c.png").read_bytes()
    (photos / "c.png").write_bytes(b"")
    store = make_masks(**asked, shard_size=2)
    assert "c.png" not in MaskStore(store)
    first = (store / "shards" / "00000.masks").stat().st_mtime_ns
    (photos / "c.png").write_bytes(whole)
    os.utime(photos / "c.png", (1e9, 1e9))
    said(capsys)
    make_masks(**asked, shard_size=2)
    path = store / "shards" / "00001.masks"
    assert said(capsys) == [f"{path}: c.png can be read now; its photos are done again"]
    assert "c.png" in MaskStore(store) and MaskStore(store).unreadable == {}
    assert (store / "shards" / "00000.masks").stat().st_mtime_ns == first
    make_masks(**asked, shard_size=2)
    assert said(capsys) == ["all 4 photos had their masks already"]


def test_advice_can_be_followed_of_a_conversion_that_wrote_nothing(photos, tmp_path):
    """A format may refuse masks (such as a pixel of two masks) after the folder was begun."""
    store = make_masks(images=photos, out=tmp_path / "out", generator=Grid(2), workers=1)
    asked = {"masks": store, "out": tmp_path / "converted", "workers": 1}
    begin = {"to": "coco", "masks": "another", "num_photos": 1}
    (tmp_path / "converted").mkdir()
    (tmp_path / "converted" / "conversion.json").write_text(json.dumps(begin))
    convert_masks(**asked, to="png")
    assert (tmp_path / "converted" / "a.png").is_file()
    with pytest.raises(StoreError, match="holds masks written with to=png, not coco"):
        convert_masks(**asked, to="coco")


def test_two_things_for_one_pngs_of_a_list_that_leads_elsewhere_lie_in_out(photos, tmp_path):
    """Not beside the photos, or over those that are PNG files themselves."""
    before = {path: path.read_bytes() for path in photos.iterdir()}
    listed = tmp_path / "lists" / "some.txt"
    listed.parent.mkdir()
    listed.write_text("\n".join(map(str, before)))
    store = make_masks(images=listed, out=tmp_path / "out", generator=Grid(2), workers=1)
    out = convert_masks(masks=store, out=tmp_path / "pngs", to="png", workers=1)
    assert {path: path.read_bytes() for path in photos.iterdir()} == before
    assert {path.name for path in out.glob("*.png")} == {path.name for path in before}
    generator = {"kind": "annotations", "folder": str(out)}
    again = MaskStore(make_masks(images=listed, out=tmp_path / "again", generator=generator))
    assert all(again[key].num_masks == 4 for key in map(str, before))


def test_stale_annotations_that_changed_are_named_and_read_again_with_check(
    photos, tmp_path, capsys
):
    generator = annotate(tmp_path / "labels", a=1, b=1, c=1, d=1)
    asked = {"images": photos, "out": tmp_path / "out", "workers": 1, "generator": generator}
    make_masks(**asked)
    annotate(tmp_path / "labels", b=7)
    later = time.time() + 5
    os.utime(tmp_path / "labels" / "b.png", (later, later))
    make_masks(**asked)
    [line] = said(capsys)
    assert line.startswith(f"{tmp_path}/labels/b.png is newer than the masks of 4 photos made")
    assert MaskStore(tmp_path / "out")["b.png"].ids.tolist() == [1]
    make_masks(**asked, check=True)
    assert "b.png is newer; its photos are done again" in said(capsys)[0]
    assert MaskStore(tmp_path / "out")["b.png"].ids.tolist() == [7]


def test_stale_conversions_of_masks_made_again_are_refused(photos, tmp_path):
    generator = annotate(tmp_path / "labels", a=1, b=1, c=1, d=1)
    asked = {"images": photos, "out": tmp_path / "out", "workers": 1, "generator": generator}
    convert = {"masks": make_masks(**asked), "out": tmp_path / "png", "to": "png", "workers": 1}
    convert_masks(**convert)
    convert_masks(**convert)
    annotate(tmp_path / "labels", b=255)
    later = time.time() + 5
    os.utime(tmp_path / "labels" / "b.png", (later, later))
    make_masks(**asked, check=True)
    with pytest.raises(StoreError, match="holds masks of an earlier content of .*out; give ano"):
        convert_masks(**convert)


def test_stale_records_of_other_photos_are_refused(photos, tmp_path):
    masks = make_masks(images=photos, out=tmp_path / "out", workers=1, generator=Grid(2))
    convert = {"masks": masks, "out": tmp_path / "records", "to": "tfrecord", "num_files": 1}
    convert_masks(**convert, workers=1)
    shutil.copytree(photos, tmp_path / "moved")
    convert_masks(**convert, images=tmp_path / "moved", workers=1)
    save(tmp_path / "moved" / "b.png", np.full((12, 16, 3), 7, np.uint8))
    with pytest.raises(StoreError, match="records holds other photos than those of .*moved now;"):
        convert_masks(**convert, images=tmp_path / "moved", workers=1)


def test_left_out_photos_that_are_not_annotated_are_counted_before_the_first_mask(
    photos, tmp_path, capsys
):
    generator = FromAnnotations(annotate(tmp_path / "labels", b=1).folder, missing="whole")
    out = make_masks(images=photos, out=tmp_path / "out", workers=1, generator=generator)
    assert said(capsys) == [
        f"3 of 4 photos are not annotated in {tmp_path}/labels: a.png, c.png, d.png"
    ]
    assert MaskStore(out).empty() == []


@pytest.mark.parametrize("displaced", [False, True])
def test_two_things_for_one_photos_that_would_share_an_annotation_are_an_error(
    photos, tmp_path, displaced
):
    generator = annotate(tmp_path / "labels", a=1, b=1, c=1, d=1)
    save(photos / "b.jpg", np.zeros((12, 16, 3), np.uint8))
    if displaced:
        generator = Displaced(generator.folder, 0.1)
    asked = {"images": photos, "out": tmp_path / "out", "workers": 1}
    with pytest.raises(AnnotationError, match="the photos b.jpg and b.png would share the annota"):
        make_masks(**asked, generator=generator)
    store = MaskStore(make_masks(**asked, generator=Grid(2)))
    with pytest.raises(AnnotationError, match="the photos b.jpg and b.png would share the annota"):
        score_stores([store], open_truth(tmp_path / "labels"))


def test_two_things_for_one_photos_of_two_cameras_and_one_coco_entry(tmp_path):
    for camera in ("cam1", "cam2"):
        save(tmp_path / "photos" / camera / "0000.jpg", np.zeros((12, 16, 3), np.uint8))
    marked = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 16}
    marked |= {"bbox": [1, 1, 4, 4], "segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]]}
    coco = {
        "images": [{"id": 1, "file_name": "0000.jpg", "height": 12, "width": 16}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [marked],
    }
    (tmp_path / "a.json").write_text(json.dumps(coco))
    generator = FromAnnotations(str(tmp_path / "a.json"), format="coco")
    with pytest.raises(AnnotationError, match="cam1/0000.jpg and cam2/0000.jpg would share the an"):
        make_masks(images=tmp_path / "photos", out=tmp_path / "out", generator=generator)


def test_two_things_for_one_photos_of_another_folder_with_the_same_names(photos, tmp_path, capsys):
    """They are older than the masks; the same photos in another place are the same."""
    asked = {"out": tmp_path / "out", "workers": 1, "generator": Grid(2)}
    store = MaskStore(make_masks(images=photos, **asked))
    others = tmp_path / "others"
    for name in "abcd":
        save(others / f"{name}.png", np.full((12, 16, 3), np.arange(16)[None, :, None] * ord(name)))
        os.utime(others / f"{name}.png", (1e9, 1e9))
    sentence = (
        f"of 4 photos of {others} that were looked at, 4 are not what the masks in "
        f"{store.folder} were made of, the first is a.png; "
    )
    with pytest.raises(StoreError) as error:
        make_masks(images=others, **asked)
    assert str(error.value).startswith(sentence + "give another out=")
    say_newer_photos(store, open_photos(others))
    assert said(capsys) == [
        sentence + "unless they are the same pictures saved again, make masks of these photos"
    ]
    shutil.copytree(photos, tmp_path / "moved")
    make_masks(images=tmp_path / "moved", **asked)


def test_orientation_an_annotation_of_the_unturned_photo_is_named(tmp_path):
    save(tmp_path / "a.png", np.ones((16, 12), np.uint8))
    with pytest.raises(AnnotationError, match="is 16 x 12 pixels, .* turned upright as their EXIF"):
        FromAnnotations(str(tmp_path))(np.zeros((12, 16, 3), np.uint8), "a.jpg")


def test_scoring_on_nothing_is_an_error(photos, tmp_path):
    store = MaskStore(make_masks(images=photos, out=tmp_path / "out", generator=Grid(2)))
    annotate(tmp_path / "labels", a=0, b=255, c=0)
    with pytest.raises(AnnotationError, match="no region is marked in any of the 3 photos; check"):
        score_stores([store], open_truth(tmp_path / "labels"))


def test_wrong_culprit_an_index_that_may_not_be_read_is_not_called_damaged(
    photos, tmp_path, monkeypatch
):
    out = make_masks(images=photos, out=tmp_path / "out", generator=Grid(2), workers=1)

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("detcon.masks.store.index.pa.memory_map", refuse)
    with pytest.raises(PermissionError, match="Permission denied"):
        MaskStore(out)


@pytest.mark.parametrize("code", [errno.ENODEV, errno.EINVAL, errno.ENOTSUP])
def test_odd_file_systems_that_cant_map_files_into_memory_are_read(
    photos, tmp_path, monkeypatch, code
):
    out = make_masks(images=photos, out=tmp_path / "out", generator=Grid(2), workers=1)

    def refuse(path):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("detcon.masks.store.index.pa.memory_map", refuse)
    store = MaskStore(out)
    assert store["a.png"].num_masks == 4 and len(store) == 4


@pytest.mark.parametrize("text", ['{"format": 1}', '{"format": 1, "num_photos": "x"}', "[1]"])
def test_a_header_without_its_fields_is_a_sentence(photos, tmp_path, text):
    out = make_masks(images=photos, out=tmp_path / "out", generator=Grid(2), workers=1)
    (out / "header.json").write_text(text)
    with pytest.raises(StoreError, match="header.json is not the header of a mask store"):
        MaskStore(out)


def test_a_damaged_list_of_unreadable_photos_is_a_sentence(photos, tmp_path):
    out = make_masks(images=photos, out=tmp_path / "out", generator=Grid(2), workers=1)
    (out / "unreadable.json").write_text("{")
    with pytest.raises(StoreError, match="unreadable.json is damaged; delete it and run"):
        MaskStore(out)["z.png"]
