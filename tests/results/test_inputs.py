"""Tests for detcon.results.inputs: what a run was made of."""

import os
import shutil
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest

from detcon.photos import open_photos
from detcon.pretraining.inputs import take_inputs
from detcon.results import RunError
from detcon.results.inputs import (
    INPUTS,
    Inventory,
    read_inputs,
    take_inventory,
    what_changed,
    write_inputs,
)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "data"
    for name, data in (("train/a.png", b"a" * 9), ("val/b.png", b"b" * 9), ("classes.json", b"{}")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def test_a_moved_folder_is_the_same_however_it_is_spelled(folder, tmp_path):
    before = take_inventory(folder)
    assert before.files == 3
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copy)  # with times of its own
    for place in (tmp_path / "copy", f"{folder}/train/..", str(folder) + "/"):
        assert what_changed(before, take_inventory(place)) == ""


def test_says_what_changed(folder):
    before = take_inventory(folder)
    (folder / "val/c.png").write_bytes(b"c")
    text = "3 files then, 4 now; the newest is val/c.png, of 20"
    assert what_changed(before, take_inventory(folder)).startswith(text)
    (folder / "val/c.png").unlink()
    assert what_changed(before, take_inventory(folder)) == ""
    (folder / "val/b.png").write_bytes(b"B" * 9)
    text = "one or more of its 3 files have other names or content; the newest is val/b.png, of 20"
    assert what_changed(before, take_inventory(folder)).startswith(text)
    (folder / "val/b.png").write_bytes(b"b" * 9)
    (folder / "val/b.png").rename(folder / "val/d.png")
    assert what_changed(before, take_inventory(folder)) != ""


def test_one_pixel_of_a_large_png_is_noticed(tmp_path):
    """Its ends alone are read; but the checksum of all its pixels is there."""
    pixels = np.random.default_rng(0).integers(0, 256, (700, 700), dtype=np.uint8)
    options = [cv2.IMWRITE_PNG_COMPRESSION, 0]
    assert cv2.imwrite(str(tmp_path / "a.png"), pixels, options)
    size, before = (tmp_path / "a.png").stat().st_size, take_inventory(tmp_path)
    pixels[350, 350] ^= 1
    assert cv2.imwrite(str(tmp_path / "a.png"), pixels, options)
    assert (tmp_path / "a.png").stat().st_size == size > 2**18
    assert what_changed(before, take_inventory(tmp_path)) != ""


def test_a_photo_replaced_by_one_of_the_same_size_is_noticed(tmp_path):
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"\xff\xd8" + b"a" * 9000 + b"\xff\xd9")
    status, before = photo.stat(), take_inventory(tmp_path)
    photo.write_bytes(b"\xff\xd8" + b"b" * 9000 + b"\xff\xd9")
    os.utime(photo, ns=(status.st_atime_ns, status.st_mtime_ns))
    now = take_inventory(tmp_path)
    assert "have other names or content" in what_changed(before, now)
    earlier = replace(before, photos="")
    assert what_changed(earlier, now) == "", "earlier versions read no photos"


def test_a_large_text_is_read_whole(tmp_path):
    text = bytearray(b"[" + b"1," * 2**18 + b"1]")
    (tmp_path / "a.json").write_bytes(text)
    before = take_inventory(tmp_path / "a.json")
    text[2**18 + 1] = ord("2")
    assert zlib.crc32(text) and (tmp_path / "a.json").write_bytes(text)
    assert what_changed(before, take_inventory(tmp_path / "a.json")) != ""


def test_hidden_files_links_in_a_circle_and_results_do_not_count(folder):
    before = take_inventory(folder)
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / ".cache").mkdir()
    (folder / ".cache/x").write_bytes(b"x")
    (folder / "again").symlink_to(folder)
    (folder / "nothing").symlink_to(folder / "none")
    (folder / "runs").mkdir()
    (folder / "runs/result.json").write_bytes(b"{}")
    assert what_changed(before, take_inventory(folder, without=folder / "runs")) == ""


def test_two_things_for_one_photos_of_another_place_with_the_same_names(tmp_path):
    """In their own place they may have been repaired."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(name.encode() * 40)
    shutil.copytree(tmp_path / "one", tmp_path / "moved")
    (tmp_path / "two" / "a.jpg").write_bytes(b"two" * 39 + b"abc")
    one, moved, two = (
        take_inputs(open_photos(tmp_path / name), None)["images"]
        for name in ("one", "moved", "two")
    )
    assert what_changed(one, moved, same_place=False) == what_changed(one, two) == ""
    assert "have other names or content" in what_changed(one, two, same_place=False)


def test_inventories_are_kept_in_the_run_folder(folder, tmp_path):
    assert read_inputs(tmp_path) == {}  # a run of an earlier version
    write_inputs(tmp_path, {"data": take_inventory(folder)})
    assert read_inputs(tmp_path) == {"data": take_inventory(folder)}
    assert isinstance(read_inputs(tmp_path)["data"], Inventory)
    for text in ("{", "[]", '{"data": {"files": 3}}'):
        (tmp_path / INPUTS).write_text(text)
        with pytest.raises(RunError, match=r"inputs\.json is damaged .*; restore it, or remove it"):
            read_inputs(tmp_path)
