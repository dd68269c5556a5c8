"""Tests for detcon.downstream.tasks.segmentation.data."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from detcon.data.labelled.examples import Examples, LabelError, nested_subset
from detcon.downstream.tasks.segmentation.data import open_label_data
from detcon.formats.errors import AnnotationError
from detcon.notes import note
from detcon.photos import PhotosError, UnreadablePhoto


@pytest.fixture
def data(squares: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(squares, tmp_path / "data"))


def write_label(path: Path, labels: np.ndarray) -> None:
    assert cv2.imwrite(str(path), labels)


def read_all(data: Path, **options):
    labelled = open_label_data(data, **options)
    return [
        split.read(i) for split in (labelled.train, labelled.val) for i in range(len(split.keys))
    ]


def test_reads_photos_labels_and_names(squares):
    labelled = open_label_data(squares)
    assert labelled.names == ("ground", "red", "blue")
    assert (len(labelled.train.keys), len(labelled.val.keys)) == (12, 5)
    picture = labelled.train.read(3)
    assert picture.key == "03.png" and picture.image.shape == (32, 32, 3)
    truth = cv2.imread(str(squares / "train/labels/03.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(picture.labels, truth)
    assert set(np.unique(picture.labels)) == {0, 1, 2, 255}


def test_classes_are_counted_where_no_file_names_them(data):
    (data / "classes.json").unlink()
    assert open_label_data(data).names == ("class 0", "class 1", "class 2")
    assert len(open_label_data(data, ignore=2).names) == 2
    assert len(open_label_data(data, num_classes=7).names) == 7


def test_ids_that_occur_nowhere_are_told_of(data, capsys):
    (data / "classes.json").unlink()
    note.cache_clear()
    open_label_data(data)
    assert "occur nowhere" not in capsys.readouterr().err
    path = data / "val/labels/00.png"
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    labels[0, 0] = 200
    write_label(path, labels)
    assert len(open_label_data(data).names) == 201
    assert (
        f"{data}: classes go from 0 to 200, the greatest id in the labels, and 197 of them occur "
        f"nowhere; name the classes in classes.json, or give task.ignore=200 if it means void"
    ) in capsys.readouterr().err
    assert len(open_label_data(data, ignore=200).names) == 3


def test_an_ignored_class_becomes_void(data):
    (data / "classes.json").unlink()
    labels = read_all(data, ignore=2)[0].labels
    truth = cv2.imread(str(data / "train/labels/00.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(labels == 255, (truth == 2) | (truth == 255))


def test_the_classes_file_can_name_the_ignored_class(data):
    (data / "classes.json").write_text('{"names": ["ground", "red"], "ignore": 2}')
    assert 2 not in read_all(data)[0].labels


def test_palettes_are_read_as_indices(data):
    path = data / "train/labels/00.png"
    plain = np.asarray(Image.open(path))
    picture = Image.fromarray(plain, "L").convert("P")
    picture.putdata(plain.ravel().tolist())
    picture.putpalette(np.random.default_rng(0).integers(0, 255, 768).astype(np.uint8).tobytes())
    picture.save(path)
    assert np.array_equal(open_label_data(data).train.read(0).labels, plain)


def test_photo_and_labels_shrink_together(data):
    image = np.zeros((40, 80, 3), np.uint8)
    labels = np.zeros((40, 80), np.uint8)
    image[:, 40:], labels[:, 40:] = 255, 2
    write_label(data / "train/images/00.png", image)
    write_label(data / "train/labels/00.png", labels)
    picture = open_label_data(data, max_side=20).train.read(0)
    assert picture.image.shape == (10, 20, 3) and picture.labels.shape == (10, 20)
    assert np.array_equal(picture.image[..., 0] > 127, picture.labels == 2)


def test_a_flat_photo_with_a_jpg_name_finds_its_png_labels(data):
    (data / "train/images/00.png").unlink()
    cv2.imwrite(str(data / "train/images/00.jpg"), np.zeros((32, 32, 3), np.uint8))
    assert open_label_data(data).train.read(0).key == "00.jpg"


@given(st.integers(1, 60), st.integers(0, 2**32), st.data())
def test_more_labels_contain_fewer(num, seed, data):
    few, many = sorted(data.draw(st.lists(st.integers(1, num), min_size=2, max_size=2)))
    small, large = nested_subset(num, few, seed), nested_subset(num, many, seed)
    assert len(small) == few and set(small) <= set(large) <= set(range(num))
    assert nested_subset(num, None, seed) == list(range(num))


def test_another_seed_keeps_other_labels():
    assert len({tuple(nested_subset(100, 10, seed)) for seed in range(20)}) == 20


def test_few_pictures_are_kept_and_many_are_not(squares):
    split = open_label_data(squares).train
    kept, read = (Examples(split, [4, 2], memory=memory) for memory in (2**20, 100))
    assert kept[0] is kept[0] and read[0] is not read[0]
    assert np.array_equal(kept[1].image, read[1].image) and kept.key(1) == "02.png"
    assert [p.key for p in kept] == ["04.png", "02.png"]


# What a user can get wrong


def test_too_many_labels():
    with pytest.raises(LabelError, match="labels=9, but there are only 4 training photos"):
        nested_subset(4, 9, 0)


def test_no_such_folder(tmp_path):
    with pytest.raises(AnnotationError, match=r"there is no folder .*train.images;"):
        open_label_data(tmp_path)


def test_no_photos(data):
    shutil.rmtree(data / "val/images")
    (data / "val/images").mkdir()
    with pytest.raises(PhotosError, match=r"there are no photos in the folder .*val.images"):
        open_label_data(data)


def test_a_photo_without_labels(data):
    (data / "train/labels/05.png").unlink()
    message = r"the photo .*05\.png has no labels: there is no file .*labels.05\.png"
    with pytest.raises(AnnotationError, match=message):
        open_label_data(data)


def test_labels_of_another_size(data):
    write_label(data / "train/labels/00.png", np.zeros((32, 30), np.uint8))
    message = r"labels.00\.png is 32 x 30 pixels, but its photo .*images.00\.png is 32 x 32"
    with pytest.raises(AnnotationError, match=message):
        read_all(data)


def test_a_class_out_of_range(data):
    write_label(data / "val/labels/01.png", np.full((32, 32), 3, np.uint8))
    message = r"01\.png holds class 3, but classes go from 0 to 2 .*; .* or give task.ignore=3"
    with pytest.raises(AnnotationError, match=message):
        read_all(data)


def test_a_16_bit_label_that_is_no_class(data):
    (data / "classes.json").unlink()
    write_label(data / "val/labels/01.png", np.full((32, 32), 700, np.uint16))
    with pytest.raises(AnnotationError, match=r"01\.png holds class 700, but"):
        open_label_data(data)


def test_colours_instead_of_classes(data):
    write_label(data / "train/labels/00.png", np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(AnnotationError, match=r"00\.png has the channels RGB, but ids take one"):
        read_all(data)


def test_damaged_files(data):
    (data / "train/labels/00.png").write_bytes(b"not a png")
    with pytest.raises(AnnotationError, match=r"labels.00\.png is no PNG that can be read"):
        read_all(data)
    (data / "train/images/00.png").write_bytes(b"")
    with pytest.raises(UnreadablePhoto, match=r"images.00\.png: the file is empty"):
        read_all(data)


def test_nothing_but_void(data):
    (data / "classes.json").unlink()
    for path in data.rglob("labels/*.png"):
        write_label(path, np.full((32, 32), 255, np.uint8))
    with pytest.raises(AnnotationError, match="all labels of .* are void"):
        open_label_data(data)


@pytest.mark.parametrize(
    "text", ["[1]", "{", '{"names": [1]}', '{"names": "ab"}', '{"names": ["a", "a"]}']
)
def test_a_classes_file_that_is_not_understood(data, text):
    (data / "classes.json").write_text(text)
    with pytest.raises(AnnotationError, match=r"classes\.json is not understood; write"):
        open_label_data(data)


def test_two_counts_of_classes(data):
    with pytest.raises(AnnotationError, match=r"num_classes=5, but .* names 3 classes"):
        open_label_data(data, num_classes=5)


def test_formats_that_know_their_classes(tmp_path):
    with pytest.raises(LabelError, match="are for format=folder; format=voc knows its classes"):
        open_label_data(tmp_path, format="voc", ignore=11)
