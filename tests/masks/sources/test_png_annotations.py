"""Tests for detcon.masks.sources.annotations."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from detcon.formats.errors import AnnotationError
from detcon.formats.reading.ids import read_ids
from detcon.masks.sources.annotations import FromAnnotations

IDS = np.array([[0, 1, 1, 255], [0, 7, 7, 255], [3, 3, 0, 0]])
PHOTO = np.zeros((3, 4, 3), np.uint8)


def save(path, ids, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    dtype = np.uint16 if mode == "I;16" else np.uint8
    picture = Image.fromarray(ids.astype(dtype))
    if mode == "P":
        picture.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    picture.save(path)


@pytest.mark.parametrize("mode", ["L", "I;16", "P"])
def test_values_are_ids(tmp_path, mode):
    save(tmp_path / "a" / "b.png", IDS, mode)
    with Image.open(tmp_path / "a" / "b.png") as picture:
        assert picture.mode == mode
    masks = FromAnnotations(str(tmp_path))(PHOTO, "a/b.jpg")
    assert masks.labels.tolist() == [[-1, 1, 1, -1], [-1, 7, 7, -1], [3, 3, -1, -1]]
    assert masks.size == (3, 4)


def test_background_and_ignore_are_the_users_choice(tmp_path):
    save(tmp_path / "b.png", IDS)
    every = FromAnnotations(str(tmp_path), ignore=None, background=True)(PHOTO, "b.JPEG")
    assert np.array_equal(every.labels, IDS)
    no_sevens = FromAnnotations(str(tmp_path), ignore=7)(PHOTO, "b.png")
    assert no_sevens.ids.tolist() == [1, 3, 255]


def test_sixteen_bit_ids_neither_wrap_nor_merge(tmp_path):
    save(tmp_path / "b.png", IDS * 200, "I;16")
    assert FromAnnotations(str(tmp_path))(PHOTO, "b.jpg").ids.tolist() == [200, 600, 1400, 51000]


def test_stems_may_hold_dots(tmp_path):
    save(tmp_path / "b.v2.png", IDS)
    assert FromAnnotations(str(tmp_path))(PHOTO, "b.v2.jpg").num_masks == 3


def test_says_when_sizes_differ(tmp_path):
    save(tmp_path / "b.png", IDS[:2])
    with pytest.raises(AnnotationError) as error:
        FromAnnotations(str(tmp_path))(PHOTO, "b.jpg")
    assert str(error.value) == (
        f"the annotation {tmp_path}/b.png is 2 x 4 pixels, but its photo b.jpg is 3 x 4 pixels "
        f"(upright); the two must match"
    )


def test_says_when_there_is_none(tmp_path):
    with pytest.raises(AnnotationError, match=r"no annotation .*/a/b\.png for the photo a/b\.jpg;"):
        FromAnnotations(str(tmp_path))(PHOTO, "a/b.jpg")


def test_says_when_there_are_several_channels(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "b.png")
    with pytest.raises(AnnotationError, match=r"b\.png has the channels RGB, but ids take one"):
        FromAnnotations(str(tmp_path))(PHOTO, "b.jpg")


def test_a_lossy_picture_under_a_png_name_is_refused(tmp_path):
    Image.fromarray(PHOTO[..., 0]).save(tmp_path / "b.png", "JPEG")
    with pytest.raises(AnnotationError, match=r"b\.png is no PNG that can be read"):
        FromAnnotations(str(tmp_path))(PHOTO, "b.jpg")


def png():
    file = io.BytesIO()
    Image.fromarray(IDS.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "mutated.png"
    mutated = bytearray(png())
    for place, value in changes:
        mutated[place % len(mutated)] = value
    path.write_bytes(bytes(mutated))
    with contextlib.suppress(AnnotationError):
        assert read_ids(path).ndim == 2
