"""Tests for photos in tars: the same photos as unpacked, and damaged tars get their sentence."""

import gzip
import io
import os
import pickle
import tarfile
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from detcon.masks.sources import Grid
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.photos import PhotosError, UnreadablePhoto, open_photos

RNG = np.random.default_rng(0)


def png(number):
    picture = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    return cv2.imencode(".png", picture)[1].tobytes()


def write_tar(path, files, form=tarfile.PAX_FORMAT):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def shards(tmp_path):
    """Two WebDataset shards of three photos each, and one in a folder of its own."""
    for shard, folder in ((0, ""), (1, ""), (2, "more/")):
        files = {}
        for number in range(3):
            name = f"{3 * shard + number:04d}"
            files |= {f"{name}.png": png(3 * shard + number), f"{name}.cls": b"7"}
        files |= {"__index__.json": b"{}", "._0000.png": b"of another system"}
        write_tar(tmp_path / f"wds/{folder}{shard}.tar", files)
    return tmp_path / "wds"


def test_photos_are_those_of_the_unpacked_tars(shards, tmp_path):
    photos = open_photos(shards)
    for tar in shards.rglob("*.tar"):
        with tarfile.open(tar) as file:
            file.extractall(
                tmp_path / "unpacked" / tar.relative_to(shards).with_suffix(""), filter="data"
            )
    unpacked = open_photos(tmp_path / "unpacked")
    assert list(photos) == list(unpacked) and len(photos) == 9
    assert photos.keys[0] == "0/0000.png" and photos.keys[-1] == "more/2/0008.png"
    for key in photos:
        assert np.array_equal(photos.read(key), unpacked.read(key))


def test_a_part_crosses_processes_and_names_its_own_tars(shards):
    photos = open_photos(shards)
    part = pickle.loads(pickle.dumps(photos.part(4, 7)))
    assert list(part) == list(photos.keys[4:7]) and len(part.members.tars) == 2
    assert all(np.array_equal(part.read(key), photos.read(key)) for key in part)


def test_a_pattern_and_a_single_tar_give_the_same_keys(shards):
    assert list(open_photos(f"{shards}/*.tar")) == list(open_photos(shards).keys[:6])
    assert list(open_photos(f"{shards}/**/*.tar")) == list(open_photos(shards))
    assert list(open_photos(shards / "1.tar")) == [f"1/000{n}.png" for n in (3, 4, 5)]


def test_braces_that_are_not_closed_are_text(shards):
    (shards / "a{1..2.tar").symlink_to(shards / "1.tar")
    assert open_photos(f"{shards}/a{{1..?.tar").keys[0] == "a{1..2/0003.png"


def test_braces_give_the_same_keys_as_a_wildcard(shards):
    assert list(open_photos(f"{shards}/{{0..1}}.tar")) == list(open_photos(f"{shards}/*.tar"))
    for pattern in ("{{0..1},more/2}.tar", "{?,more/*}.tar", "{*,0}.tar"):
        photos = open_photos(f"{shards}/{pattern}")
        assert photos.root == str(shards) and photos.keys[0] == "0/0000.png"
    assert list(open_photos(f"{shards}/{{,more/}}*.tar")) == list(open_photos(shards))
    (shards / "{0..1}.tar").symlink_to(shards / "1.tar")
    named_so = open_photos(f"{shards}/{{0..1}}.tar")
    assert named_so.keys[0] == "{0..1}/0003.png", "a file of this very name is meant"


def test_says_which_tars_of_a_range_are_missing(shards):
    assert sentence(lambda: open_photos(f"{shards}/{{0..3}}.tar")) == (
        f"of the 4 tars that {shards}/{{0..3}}.tar names, 2 are missing, the first is "
        f"{shards}/2.tar; copy them there, or change the range"
    )
    (shards / "2.tar").symlink_to(shards / "gone.tar")
    said = f"cannot read the tar {shards}/2.tar: No such file or directory"
    assert sentence(lambda: open_photos(f"{shards}/{{0..2}}.tar")) == said


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_leading_dots(tmp_path, form):
    long = "x" * 150 + "/" + "y" * 150 + ".png"
    write_tar(tmp_path / "a.tar", {"./b.png": png(0), long: png(1)}, form)
    photos = open_photos(tmp_path / "a.tar")
    assert list(photos) == ["a/b.png", f"a/{long}"] and photos.read(f"a/{long}").shape == (
        20,
        30,
        3,
    )


def test_the_list_is_kept_beside_the_tar_until_it_changes(shards, monkeypatch):
    before = list(open_photos(shards))
    kept = [path for path in shards.rglob(".*.members")]
    assert len(kept) == 3

    def no_walk(*_):
        raise AssertionError("it was walked again")

    with monkeypatch.context() as patch:
        patch.setattr("detcon.photos.tars._walk", no_walk)
        assert list(open_photos(shards)) == before
    write_tar(shards / "0.tar", {"new.png": png(0)})
    assert open_photos(shards).keys[0] == "0/new.png"
    (shards / ".0.tar.members").write_bytes(b"damaged")
    assert open_photos(shards).keys[0] == "0/new.png"


def test_a_folder_that_cannot_be_written_is_read(shards, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("detcon.photos.kept.write_whole", refuse)
    assert len(open_photos(shards)) == 9 and not list(shards.rglob(".*.members"))


def test_masks_are_made_of_tars_by_several_workers(shards, tmp_path):
    settings = {"images": shards, "generator": Grid(2), "shard_size": 2}
    one = make_masks(**settings, out=tmp_path / "one", workers=1)
    two = make_masks(**settings, out=tmp_path / "two", workers=2)
    assert (one / "index.arrow").read_bytes() == (two / "index.arrow").read_bytes()
    assert MaskStore(two)["more/2/0008.png"].size == (20, 30)


def sentence(call, kind=PhotosError):
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


def test_says_what_is_wrong_with_a_tar(tmp_path):
    path = tmp_path / "a.tar"
    write_tar(path, {"a.png": png(0), "b.png": png(1)})
    whole = path.read_bytes()
    second = 512 * (2 + -(-len(png(0)) // 512) - 1)  # where the second header begins

    def said(data):
        path.write_bytes(data)
        os.utime(path, ns=(0, RNG.integers(2**40)))
        return sentence(lambda: open_photos(path))

    assert said(b"") == f"the tar {path} is damaged (empty file); copy or write it again"
    assert said(b"not a tar" * 99).startswith(f"the tar {path} is damaged (")
    assert said(whole[: second + 600]) == (
        f"the tar {path} is damaged (unexpected end of data); copy or write it again"
    )
    early = f"the tar {path} ends before its end mark; it was cut off, or its writer was not closed"
    assert said(whole[:second]).startswith(early)
    assert said(whole[: second + 100]).startswith(early)
    no_header = whole[:second] + b"?" * 512 + whole[second + 512 :]
    assert said(no_header) == (
        f"the tar {path} is damaged (no header at byte {second}); copy or write it again"
    )
    assert said(gzip.compress(whole)).startswith(
        f"cannot read photos from {path}: it is compressed (gzip), so that no file in it can be re"
    )


def test_says_what_is_wrong_with_the_members(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("a.png"))
    assert sentence(lambda: open_photos(path)) == (
        f"the tar {path} holds a.png twice; write it again with each file once"
    )
    write_tar(path, {"a.txt": b""})
    assert sentence(lambda: open_photos(path)).startswith(
        f"there are no photos in {path}: looked in the tars for .avif, .bmp"
    )
    (tmp_path / "b.zip").write_bytes(b"")
    assert sentence(lambda: open_photos(f"{tmp_path}/?.*")).startswith(
        f"the pattern {tmp_path}/?.* names {tmp_path}/b.zip, which is no .tar; name tars"
    )
    assert sentence(lambda: open_photos(f"{tmp_path}/x*.tar")).startswith("there is no folder or")


def test_says_which_photo_cannot_be_read(shards):
    photos = open_photos(shards)
    assert sentence(lambda: photos.read("0/000.png"), UnreadablePhoto).startswith(
        f"there is no photo {shards}/0/000.png; did you mean '0/0002.png'?"
    )
    (shards / "0.tar").write_bytes((shards / "0.tar").read_bytes()[:700])
    assert sentence(lambda: photos.read("0/0001.png"), UnreadablePhoto) == (
        f"cannot read from {shards}/0.tar: it has changed since it was listed"
    )
    write_tar(shards / "1.tar", {"0003.png": b"no photo"})
    said = sentence(lambda: open_photos(shards / "1.tar").read("1/0003.png"), UnreadablePhoto)
    assert said.startswith(f"cannot read {shards}/1/0003.png: the file holds no picture")


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_tar_is_listed_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz" / "a.tar"
    write_tar(path, {"a.png": b"1" * 600, "x" * 120 + ".png": b"2", "b.png": b""})
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        # in a header, where it matters; a checksum would refuse most, so it is made good
        block = data.draw(st.sampled_from([0, 3, 4, 5, 6, 8])) * 512
        whole[block + data.draw(st.integers(0, 511))] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):
            header = whole[block : block + 148] + b" " * 8 + whole[block + 156 : block + 512]
            whole[block + 148 : block + 156] = b"%06o\0 " % sum(header)
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)) | st.none())])
    path.with_name(".a.tar.members").unlink(missing_ok=True)
    with suppress(PhotosError):
        photos = open_photos(path)
        for key in photos:
            with suppress(UnreadablePhoto):
                photos.read(key)
