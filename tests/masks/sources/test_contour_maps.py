"""Contours from files, in place of our own."""

import pickle

import cv2
import numpy as np
import pytest

from detcon.masks.sources import MCG, MCGFull
from detcon.masks.sources.mcg.contour_maps import ContourMapError, read_contours

PLAIN = np.full((60, 80, 3), 100, np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A square's outline for a plain photo, as files of several kinds and sizes."""
    outline = np.zeros((60, 80), np.uint8)
    cv2.rectangle(outline, (20, 15), (55, 45), 255, 1)
    (tmp_path / "a").mkdir()
    cv2.imwrite(str(tmp_path / "a" / "eight.png"), outline)
    cv2.imwrite(str(tmp_path / "a" / "sixteen.png"), outline.astype(np.uint16) * 257)
    np.save(tmp_path / "a" / "real.npy", outline / 255)
    large = cv2.resize(outline, (160, 120), interpolation=cv2.INTER_LINEAR)
    np.save(tmp_path / "a" / "large.npy", large.astype(np.float16))
    return tmp_path


@pytest.mark.parametrize("kind", [MCG, MCGFull])
@pytest.mark.parametrize("name", ["eight", "sixteen", "real", "large"])
def test_what_is_outlined_is_the_best_mask(kind, name, folder):
    generate = kind(contours=str(folder), max_side=64)
    assert pickle.loads(pickle.dumps(generate)) == generate
    first = generate(PLAIN, f"a/{name}.jpg").at_size().stack()[0]
    truth = np.zeros((60, 80), bool)
    truth[15:46, 20:56] = True
    assert (first & truth).sum() / (first | truth).sum() > 0.85


def test_kinds_of_files_say_the_same(folder):
    maps = [
        read_contours(str(folder), f"a/{name}.jpg", (60, 80), (60, 80))
        for name in ("eight", "sixteen", "real")
    ]
    assert np.array_equal(maps[0], maps[1]) and np.array_equal(maps[0], maps[2])
    assert maps[0].dtype == np.float32 and maps[0].max() == 1


def test_says_what_is_wrong(folder):
    def says(message, key):
        with pytest.raises(ContourMapError, match=message):
            MCG(contours=str(folder))(PLAIN, key)

    says("no contour map of the photo b/c.jpg: looked for .*b/c.png and .*b/c.npy", "b/c.jpg")
    says(f"under the photos' paths below one folder, and {folder}/c.jpg lead", f"{folder}/c.jpg")
    says("maps named after the photos; give the photo's name as key", "")
    cv2.imwrite(str(folder / "colour.png"), PLAIN)
    says("colour.png is an array of 60 x 80 x 3 .* one real number a pixel", "colour.jpg")
    np.save(folder / "complex.npy", np.zeros((60, 80), complex))
    says("of the kind complex128", "complex.jpg")
    np.save(folder / "wide.npy", np.zeros((30, 80)))
    says("wide.npy has 30 x 80 pixels, but its photo wide.jpg has 60 x 80", "wide.jpg")
    np.save(folder / "nan.npy", np.full((60, 80), np.nan))
    says("nan.npy has no pixels, or values that are negative, infinite or NaN", "nan.jpg")
    np.save(folder / "below.npy", np.full((60, 80), -1.0))
    says("below.npy .* contours are 0 or more", "below.jpg")
    for name in ("bad.png", "bad.npy", "empty.png", "empty.npy"):
        (folder / name).write_bytes(b"no picture" if name.startswith("bad") else b"")
        if name.endswith("npy"):
            (folder / name.replace("npy", "png")).unlink()
        says(f"cannot read the contour map .*{name}: .*; make it again", f"{name[:-4]}.jpg")
