"""Tiny cut-outs and backgrounds."""

import cv2
import numpy as np
import pytest


def draw(path, *, colour=(40, 40, 220), size=(60, 40), channels=4, dtype=np.uint8):
    """An ellipse of one colour (BGR) on a transparent ground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.zeros((*size, 4), np.uint8)
    centre = (size[1] // 2, size[0] // 2)
    cv2.ellipse(
        picture, centre, (size[1] // 2 - 4, size[0] // 2 - 4), 0, 0, 360, (*colour, 255), -1
    )
    picture = picture[..., :channels].astype(dtype) * (257 if dtype == np.uint16 else 1)
    assert cv2.imwrite(str(path), picture)


@pytest.fixture
def write_cutout():
    return draw


@pytest.fixture(scope="session")
def cutouts_folder(tmp_path_factory):
    """Two classes, of two and three cut-outs, all of them red."""
    folder = tmp_path_factory.mktemp("cutouts")
    for number in range(2):
        draw(folder / "long" / f"{number}.png", size=(80 + 9 * number, 40))
    for number in range(3):
        draw(folder / "deep" / "er" / f"{number}.png", size=(50, 50 + 9 * number))
    return folder


@pytest.fixture(scope="session")
def backgrounds_folder(tmp_path_factory):
    """Six blue photos."""
    folder = tmp_path_factory.mktemp("backgrounds")
    rng = np.random.default_rng(0)
    for number in range(6):
        photo = np.zeros((90, 140, 3), np.uint8)
        photo[..., 0] = rng.integers(120, 255, (90, 140))
        assert cv2.imwrite(str(folder / f"{number}.png"), photo)
    return folder
