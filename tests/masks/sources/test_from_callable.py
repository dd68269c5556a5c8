"""Tests for detcon.masks.sources.from_callable: functions of users, by their names."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import masks_of_users as users
import numpy as np
import pytest

from detcon.config import RecipeError
from detcon.masks import Masks
from detcon.masks.sources import FromCallable
from detcon.masks.sources.from_callable import by_name
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.masks.store.shard import StoreError

PHOTO = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
THERE = "masks_of_users"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(20):
        cv2.imwrite(str(folder / f"{number:02d}.png"), np.roll(PHOTO, number, 0))
    return folder


def test_returns_ids_or_pictures_or_masks():
    ids = FromCallable(f"{THERE}:by_brightness")(PHOTO)
    assert np.array_equal(ids.labels, users.by_brightness(PHOTO)) and ids.num_masks == 3
    stack = FromCallable(f"{THERE}:overlapping")(PHOTO)
    assert np.array_equal(stack.stack(), users.overlapping(PHOTO)[[0, 2]]), "the empty one is out"
    assert FromCallable(f"{THERE}:as_masks")(PHOTO).num_masks == 1


def test_options_go_to_the_function_or_make_the_object_once():
    asked = FromCallable(f"{THERE}:by_brightness", {"levels": 2})
    assert asked(PHOTO).num_masks == 2
    users.Levels.num_made = 0
    made = FromCallable(f"{THERE}:Levels", {"levels": 2})
    assert np.array_equal(made(PHOTO).labels, asked(PHOTO).labels) and made(PHOTO).num_masks == 2
    assert users.Levels.num_made == 1


def test_the_photo_is_theirs_to_write_to():
    photo = PHOTO.copy()
    assert FromCallable(f"{THERE}:writes_to_it")(photo).num_masks == 1
    assert np.array_equal(photo, PHOTO)


def test_functions_are_known_by_their_names():
    named = by_name(users.by_brightness)
    assert named == FromCallable(f"{THERE}:by_brightness")
    part = by_name(partial(users.by_brightness, levels=2))
    assert part == FromCallable(f"{THERE}:by_brightness", {"levels": 2})
    for unknown in (lambda image: None, users.Levels(3), partial(lambda image: None, levels=2)):  # pyright: ignore[reportCallIssue]
        with pytest.raises(ValueError, match=r"can't be imported by its name, as workers do; def"):
            by_name(unknown)
    with pytest.raises(ValueError, match="has positional arguments, .* give them as keywords"):
        by_name(partial(users.by_brightness, PHOTO))


def test_a_store_says_what_made_it(images, tmp_path):
    function = partial(users.by_brightness, levels=2)
    store = MaskStore(make_masks(images=images, out=tmp_path, generator=function, workers=1))
    assert store.header["generator"] == {
        "function": f"{THERE}:by_brightness", "options": {"levels": 2}, "version": None,
        "kind": "callable",
    }  # fmt: skip
    newer = FromCallable(f"{THERE}:by_brightness", {"levels": 2}, version="2")
    with pytest.raises(StoreError, match="it has version=null, not version=2; give another out="):
        make_masks(images=images, out=tmp_path, generator=newer, workers=1)


@pytest.mark.parametrize("most_threads", [0, 4], ids=["processes", "threads"])
def test_workers_can_have_it(images, tmp_path, monkeypatch, most_threads):
    monkeypatch.setattr("detcon.masks.store.fill._MOST_THREADS", most_threads)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
    settings = {"images": images, "generator": users.by_brightness}
    one = make_masks(**settings, out=tmp_path / "one", workers=1)
    two = make_masks(**settings, out=tmp_path / "two", workers=2)
    name = "shards/00000.masks"
    assert (one / name).read_bytes() == (two / name).read_bytes()


SCRIPT = """
import sys
from detcon import make_masks
def bands(image):
    return image[..., 0].astype(int) // 100
if __name__ == "__main__":
    make_masks(images=sys.argv[1], out=sys.argv[2], generator=bands, workers=5)
"""


def test_a_function_of_the_script_itself(images, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    subprocess.run([sys.executable, tmp_path / "script.py", images, tmp_path / "out"], check=True)
    store = MaskStore(tmp_path / "out")
    assert store["00.png"].num_masks == 3
    assert store.header["generator"]["function"] == "__main__:bands"


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("fails", "fails failed: KeyError: 'no such weights' .--debug shows where."),
        ("gives_floats", r"returned float64 \[8 9\] for a photo of 8 x 9 pixels; it should ret"),
        ("gives_one_mask", r"returned bool \[8 9\] for a photo of 8 x 9 pixels"),
        ("gives_another_size", r"returned uint8 \[7 9\] for a photo of 8 x 9 pixels"),
        ("gives_masks_of_another_size", r"returned Masks of a photo of 8 x 8 for a photo of 8 x"),
        ("gives_nothing", "returned a NoneType for a photo of 8 x 9 pixels; it should return Mas"),
    ],
)
def test_says_what_is_wrong_with_what_it_returns(images, tmp_path, name, sentence):
    with pytest.raises(ValueError, match=f"^{THERE}:{name} {sentence}|^{THERE}:{sentence}"):
        FromCallable(f"{THERE}:{name}")(PHOTO)
    with pytest.raises(StoreError, match=rf"^cannot make the masks of 00\.png: {THERE}:{name} "):
        make_masks(images=images, out=tmp_path, generator=getattr(users, name), workers=1)


@pytest.mark.parametrize(
    "function, sentence",
    [
        ("quickshift", "generator.function=quickshift doesn't name a function; write package"),
        ("no.such:f", "cannot import generator.function=no.such:f: No module named 'no'; if it is"),
        (f"{THERE}:g", "has no attribute 'g'; check the name"),
        (f"{THERE}:not_a_function", f"{THERE}:not_a_function is no function or class; give one"),
        (f"{THERE}:Levels.num_made", "num_made is no function or class"),
    ],
)
def test_says_what_cannot_be_called(images, tmp_path, function, sentence):
    with pytest.raises(ValueError, match=sentence):
        FromCallable(function)
    asked = {"generator.kind": "callable", "generator.function": function}
    with pytest.raises(RecipeError, match=f"^generator: .*{sentence}"):
        make_masks(images=images, out=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def test_says_what_a_class_cannot_be_made_with():
    with pytest.raises(ValueError, match=r"cannot create .*:Levels with the options \{\}: TypeE"):
        FromCallable(f"{THERE}:Levels")(PHOTO)
    with pytest.raises(ValueError, match=r"the options of .*:Levels must be numbers, texts and li"):
        FromCallable(f"{THERE}:Levels", {"levels": Masks})
