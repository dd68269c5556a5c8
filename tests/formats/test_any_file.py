"""Whatever is in a file, a reader reads it or says in a sentence why not, and names the file."""

import contextlib

import layouts
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from detcon.formats.ade20k import read_ade20k
from detcon.formats.bsds import read_segmentations
from detcon.formats.camvid import open_camvid
from detcon.formats.cityscapes import open_cityscapes, open_cityscapes_objects
from detcon.formats.coco.panoptic import open_coco_panoptic
from detcon.formats.errors import AnnotationError
from detcon.formats.folder.depth import open_depth_folder
from detcon.formats.folder.labels import open_folder, open_folder_objects
from detcon.formats.imagenet import open_class_folders
from detcon.formats.nyu.reader import open_nyu
from detcon.formats.tfrecord.records import open_fh_records
from detcon.formats.voc.reader import open_voc, open_voc_objects
from detcon.photos import PhotosError, UnreadablePhoto


def read_labels(maps):
    for key in maps.keys:
        labels = maps.labels(key)
        assert labels.dtype == np.uint8 and (labels[labels != 255] < max(len(maps.names), 1)).all()


def read_objects(sets):
    for key in sets.keys:
        found = sets.objects(key)
        assert found.masks().shape == (len(found), *found.size)
        assert all(0 <= label < len(sets.names) for label in found.classes)


def read_depths(maps):
    for key in maps.keys:
        assert not (maps.depth(key) <= 0).any()


def read_folder(root):
    read_labels(open_folder(root, "train"))
    read_objects(open_folder_objects(root, "train"))
    read_depths(open_depth_folder(root, "train"))


def read_voc(root):
    read_labels(open_voc(root, "train"))
    read_objects(open_voc_objects(root, "train"))


def read_cityscapes(root):
    read_labels(open_cityscapes(root, "train"))
    read_objects(open_cityscapes_objects(root, "train"))


def read_ade(root):
    found = read_ade20k(root / "ADE_train_00000001_seg.png")
    assert found.classes.shape == found.instances.shape and found.classes.min() >= 0


def read_people(root):
    assert len({ids.shape for ids in read_segmentations(root / "train" / "12003.mat")}) == 1


def read_nyu(root):
    maps = open_nyu(root, "train")
    read_depths(maps)
    for key in maps.keys:
        assert maps.photo(key).shape[2] == 3


def read_records(root):
    maps = open_fh_records(root).maps("n01_1.JPEG")
    assert maps.shape[1:] == (6, 8) or maps.size


READERS = {
    "folder": (read_folder, ("classes.json", "train/[lid]*/*.png")),
    "voc": (read_voc, ("**/train.txt", "**/val.txt", "**/*7_000032.png", "**/*.mat")),
    "cityscapes": (read_cityscapes, ("gtFine/train/**/*Ids.png",)),
    "camvid": (lambda root: read_labels(open_camvid(root, "train")), ("trainannot/*.png",)),
    "ade20k": (read_ade, ("*_seg.png",)),
    "panoptic": (
        lambda root: read_labels(open_coco_panoptic(root, "train")),
        ("annotations/*.json", "annotations/**/*.png"),
    ),
    "bsds": (read_people, ("train/*.mat",)),
    "nyu": (read_nyu, ("*.mat",)),
    "tfrecord": (read_records, ("train-*", ".detcon-index.arrow")),
    "frames": (read_nyu, ("train/**/*.h5",)),
}
"""By the function of `layouts`: what reads all that is there, and the files that may be damaged."""


NOT_NEEDED = ("classes.json", ".detcon-index.arrow")


@pytest.fixture(scope="module", params=READERS)
def data(request, tmp_path_factory):
    """A whole data set, what reads it, and its annotations with what should be in them."""
    root = tmp_path_factory.mktemp(request.param)
    getattr(layouts, request.param)(root)
    read, patterns = READERS[request.param]
    read(root)  # which may leave an index
    files = sorted({path for pattern in patterns for path in root.glob(pattern)})
    assert len(files) >= len(patterns)
    return root, read, [(path, path.read_bytes()) for path in files]


@contextlib.contextmanager
def instead(path, content):
    """The file with another content, and then with its own."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def read_or_refuse(data, path, content):
    root, read, _ = data
    said = str(root)
    with instead(path, content):
        try:
            read(root)
        except (AnnotationError, UnreadablePhoto) as error:
            said = str(error)
    assert "\n" not in said and str(root) in said


changes = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4
) | st.integers(0, 10**6)
"""Bytes that are others; or where the file ends."""

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(st.integers(0, 99), changes)
@SETTINGS
def test_any_damage_is_read_or_refused(data, which, changes):
    path, whole = data[2][which % len(data[2])]
    content = bytearray(whole)
    if isinstance(changes, int):
        del content[changes % len(content) :]
    else:
        for place, value in changes:
            content[place % len(content)] = value
    read_or_refuse(data, path, bytes(content))


modes = {"1": bool, "L": np.uint8, "LA": np.uint8, "I;16": np.uint16, "RGB": np.uint8}


@given(st.integers(0, 99), st.sampled_from([*modes, "P"]), st.data())
@SETTINGS
def test_any_png_is_read_or_refused(data, tmp_path_factory, which, mode, drawn):
    pngs = [path for path, _ in data[2] if path.suffix == ".png"]
    if not pngs:
        return
    size = drawn.draw(st.sampled_from([(6, 8), (8, 6), (1, 1)]))
    dtype = modes.get(mode, np.uint8)
    channels = {"LA": (2,), "RGB": (3,)}.get(mode, ())
    rng = np.random.default_rng(drawn.draw(st.integers(0, 9)))
    highest = drawn.draw(st.sampled_from([1, 3, 30, 255, 65535]))
    pixels = rng.integers(0, min(highest, np.iinfo(dtype).max) + 1 if mode != "1" else 2,
                          (*size, *channels)).astype(dtype)  # fmt: skip
    picture = Image.fromarray(pixels)
    if mode == "P":
        picture = picture.convert("P")
    made = tmp_path_factory.getbasetemp() / "any.png"
    picture.save(made)
    read_or_refuse(data, pngs[which % len(pngs)], made.read_bytes())


@given(st.integers(0, 99), st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
@SETTINGS
def test_anything_else_is_refused(data, which, content):
    path, _ = data[2][which % len(data[2])]
    read_or_refuse(data, path, content)


@pytest.mark.parametrize("what", ["nothing", "a folder"])
def test_a_file_that_is_gone_is_said(data, what):
    root, read, files = data
    for path, whole in files:
        path.unlink()
        if what == "a folder":
            path.mkdir()
        try:
            if path.name in NOT_NEEDED:
                with contextlib.suppress(AnnotationError):
                    read(root)
                continue
            with pytest.raises((AnnotationError, UnreadablePhoto)) as error:
                read(root)
            assert str(root) in str(error.value)
        finally:
            if what == "a folder":
                path.rmdir()
            path.write_bytes(whole)


names = st.sampled_from(["a", "b", ".c", "images", "labels", "x.jpg", "y.txt", "ü"])


@given(st.sets(st.tuples(st.sampled_from(["train", "val"]), names, names), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_folders_are_classes_or_refused(tmp_path_factory, paths):
    root = tmp_path_factory.mktemp("any")
    for split, folder, name in paths:
        path = root / split / folder / name
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix:
                path.write_bytes(b"")
            else:
                path.mkdir()
    for split in ("train", "val"):
        with contextlib.suppress(AnnotationError, PhotosError):
            found = open_class_folders(root, split)
            assert all(0 <= found.label(key) < len(found.names) for key in found.keys)
