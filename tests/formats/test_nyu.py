"""Tests for detcon.formats.nyu: three layouts, the axes of MATLAB, and workers."""

import contextlib
import multiprocessing
import os
import pickle

import h5py
import layouts
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.io import savemat

from detcon.formats.errors import AnnotationError
from detcon.formats.folder.depth import open_depth_folder
from detcon.formats.nyu.reader import open_nyu
from detcon.photos import UnreadablePhoto

RNG = np.random.default_rng(0)
PHOTOS = RNG.integers(0, 256, (5, 4, 6, 3), np.uint8)
DEPTHS = RNG.uniform(0.7, 10, (5, 4, 6)).astype(np.float32)
SPLIT = {"trainNdxs": np.array([[5.0], [1.0], [3.0]]), "testNdxs": np.array([[2.0], [4.0]])}


def write_mat(folder, depths=DEPTHS, *, old=True):
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = PHOTOS.transpose(0, 3, 2, 1)
        file["depths"] = depths.transpose(0, 2, 1)
    if old:
        savemat(folder / "splits.mat", SPLIT)
    else:
        with h5py.File(folder / "splits.mat", "w") as file:
            for name, values in SPLIT.items():
                file[name] = values.T
    return folder


@pytest.mark.parametrize("old", [True, False])
def test_the_labelled_part(tmp_path, old):
    folder = write_mat(tmp_path, old=old)
    train, val = open_nyu(folder, "train"), open_nyu(folder / "nyu_depth_v2_labeled.mat", "val")
    assert train.keys == ("0001", "0003", "0005") and val.keys == ("0002", "0004")
    for maps in (train, pickle.loads(pickle.dumps(val))):
        for key in maps.keys:
            assert np.array_equal(maps.photo(key), PHOTOS[int(key) - 1])
            assert np.array_equal(maps.depth(key), DEPTHS[int(key) - 1])
    assert train.photo("0001", channels=1).shape == (4, 6, 1)


def test_nothing_measured_is_no_depth(tmp_path):
    depths = DEPTHS.copy()
    depths[0].flat[:4] = 0, np.nan, np.inf, -1
    depth = open_nyu(write_mat(tmp_path, depths), "train").depth("0001")
    assert np.isnan(depth).ravel().tolist() == [True] * 4 + [False] * 20
    assert np.array_equal(depth.ravel()[4:], DEPTHS[0].ravel()[4:])


def read_in_child(maps, queue):
    queue.put(float(maps.depth("0003").sum()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers can't be forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_worker_reads_too(tmp_path):
    maps = open_nyu(write_mat(tmp_path), "train")
    maps.depth("0001")
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=read_in_child, args=(maps, queue))
    child.start()
    assert queue.get() == float(DEPTHS[2].sum())
    child.join()


def test_frames(tmp_path):
    for split, scene, number in (("train", "kitchen", 0), ("val", "office", 1)):
        path = tmp_path / split / scene / "00001.h5"
        path.parent.mkdir(parents=True)
        with h5py.File(path, "w") as file:
            file["rgb"], file["depth"] = PHOTOS[number].transpose(2, 0, 1), DEPTHS[number]
    maps = open_nyu(tmp_path, "val")
    assert list(maps.keys) == ["office/00001.h5"]
    assert np.array_equal(maps.photo("office/00001.h5"), PHOTOS[1])
    assert np.array_equal(maps.depth("office/00001.h5"), DEPTHS[1])
    with pytest.raises(
        UnreadablePhoto, match=r"00001\.h5: it has 3 channels, but 4 were asked for"
    ):
        maps.photo("office/00001.h5", 4)
    (tmp_path / "val" / "office" / "00001.h5").write_bytes(b"none")
    with pytest.raises(UnreadablePhoto, match=r"cannot read the photo of .*00001\.h5: .*; copy "):
        maps.photo("office/00001.h5")
    with pytest.raises(AnnotationError, match=r"cannot read the depth of .*00001\.h5: .*; copy "):
        maps.depth("office/00001.h5")
    with h5py.File(tmp_path / "val" / "office" / "00001.h5", "w") as file:
        file["rgb"], file["depth"] = np.zeros((4, 6)), np.zeros((1, 4, 6))
    with pytest.raises(UnreadablePhoto, match=r"rgb is 2-dim.* float64; write .* \[3 y x\] of 8"):
        maps.photo("office/00001.h5")
    with pytest.raises(AnnotationError, match=r"depth is 3-dim.* float64; write .* \[y x\]"):
        maps.depth("office/00001.h5")
    with h5py.File(tmp_path / "val" / "office" / "00001.h5", "w") as file:
        file["image"] = np.zeros((4, 6))
    with pytest.raises(UnreadablePhoto, match="00001.h5: it has no 'rgb', but image; write"):
        maps.photo("office/00001.h5")
    with pytest.raises(AnnotationError, match="00001.h5: it has no 'depth', but image; write"):
        maps.depth("office/00001.h5")


def test_photos_with_depth_beside_them(tmp_path, write):
    steps = np.array([[0, 700, 10000], [65535, 1, 2]], np.uint16)
    write(tmp_path / "train" / "images" / "a" / "b.png", np.zeros((2, 3, 3), np.uint8))
    write(tmp_path / "train" / "depth" / "a" / "b.png", steps)
    maps = open_nyu(tmp_path, "train")
    depth = maps.depth("a/b.png")
    assert maps.photo("a/b.png").shape == (2, 3, 3) and np.isnan(depth[0, 0])
    assert np.allclose(depth.ravel()[1:], steps.ravel()[1:] / 1000)
    again = open_depth_folder(tmp_path, "train", unit=0.01).depth("a/b.png")
    assert np.allclose(again.ravel()[1:], steps.ravel()[1:] / 100)
    (tmp_path / "train" / "depth" / "a" / "b.png").unlink()
    with pytest.raises(
        AnnotationError, match=r"a/b\.png has no depth: there is no file .*a/b\.png"
    ):
        open_nyu(tmp_path, "train")
    with pytest.raises(
        AnnotationError, match="there is no folder .*val/images; photos with depth n"
    ):
        open_depth_folder(tmp_path, "val")


def test_says_what_is_missing(tmp_path):
    sentence = r"there is no NYU-Depth v2 in .*: looked for nyu_depth_v2_labeled\.mat, train/\*\*"
    with pytest.raises(AnnotationError, match=sentence):
        open_nyu(tmp_path, "train")
    folder = write_mat(tmp_path)
    with pytest.raises(AnnotationError, match=r"has no part 'dev'; give train or val"):
        open_nyu(folder, "dev")
    savemat(folder / "splits.mat", {"trainNdxs": np.array([[6.0]]), "other": 1})
    with pytest.raises(
        AnnotationError, match=r"has photos from 6 to 6, but .* those from 1 to 5; "
    ):
        open_nyu(folder, "train")
    with pytest.raises(
        AnnotationError, match=r"splits\.mat holds no list 'testNdxs' that can be re"
    ):
        open_nyu(folder, "val")
    (folder / "splits.mat").unlink()
    with pytest.raises(AnnotationError, match=r"no .*splits\.mat, which says which photos are for"):
        open_nyu(folder, "train")


def test_says_what_is_damaged(tmp_path):
    folder = write_mat(tmp_path)
    maps = open_nyu(folder, "train")
    with pytest.raises(AnnotationError, match="there is no such photo; did you mean '000"):
        maps.depth("0002")
    path = folder / "nyu_depth_v2_labeled.mat"
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(UnreadablePhoto, match="the photo 0001 of .*labeled.mat: .*; copy it"):
        maps.photo("0001")
    with pytest.raises(AnnotationError, match="the depth of the photo 0001 of .*mat: .*; copy"):
        maps.depth("0001")
    with pytest.raises(
        AnnotationError, match="is no HDF5 file with 'images' and 'depths', as NYU's"
    ):
        open_nyu(folder, "train")
    with h5py.File(path, "w") as file:
        file["images"], file["depths"] = PHOTOS, DEPTHS
    with pytest.raises(
        AnnotationError, match=r"images of \(5, 4, 6, 3\) and depths of .*should be"
    ):
        open_nyu(folder, "train")


def test_depth_of_whole_numbers_needs_a_unit(tmp_path):
    """Thousandths in an HDF5 file of one photo were read as metres."""
    layouts.frames(tmp_path)
    path = tmp_path / "train" / "office" / "00001.h5"
    with h5py.File(path, "r+") as file:
        del file["depth"]
        file["depth"] = np.array([[2000, 0, 500]], np.uint16)
    key = open_nyu(tmp_path, "train").keys[0]
    with pytest.raises(AnnotationError, match=r"whole numbers \(uint16\); give the .* task.unit="):
        open_nyu(tmp_path, "train").depth(key)
    depth = open_nyu(tmp_path, "train", unit=0.001).depth(key)
    np.testing.assert_array_equal(depth, np.array([[2, np.nan, 0.5]], np.float32))
    folder = write_mat(tmp_path)
    with pytest.raises(AnnotationError, match=r"depths in metres, but task.unit=0.001 was given"):
        open_nyu(folder, "train", unit=0.001)


@given(st.binary(max_size=300))
@settings(max_examples=40, deadline=None)
def test_any_split_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "any"
    if not folder.exists():
        write_mat(folder)
    good = (folder / "splits.mat").read_bytes()[:128]
    (folder / "splits.mat").write_bytes(good + data)
    with contextlib.suppress(AnnotationError):
        open_nyu(folder, "train")
