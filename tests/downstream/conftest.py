"""A tiny labelled folder: squares of two colours on a noisy ground, with a void frame."""

from pathlib import Path

import cv2
import numpy as np
import pytest

COLOURS = ((90, 90, 90), (230, 40, 40), (40, 40, 230))


def write_pair(folder: Path, name: str, image: np.ndarray, labels: np.ndarray) -> None:
    for part, suffix, picture in (("images", ".png", image[..., ::-1]), ("labels", ".png", labels)):
        path = folder / part / (name + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), picture)


def draw_squares(rng: np.random.Generator, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((size, size), np.uint8)
    for value in (1, 2):
        top, left = 8 * rng.integers(0, size // 8 - 1, 2)
        labels[top : top + 16, left : left + 16] = value
    image = np.array(COLOURS)[labels] + rng.integers(-20, 20, (size, size, 3))
    labels[:2] = 255
    return image.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("squares")
    rng = np.random.default_rng(0)
    for split, num in (("train", 12), ("val", 5)):
        for i in range(num):
            write_pair(folder / split, f"{i:02}", *draw_squares(rng))
    (folder / "classes.json").write_text('{"names": ["ground", "red", "blue"], "ignore": 255}')
    return folder


@pytest.fixture(scope="session")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of three classes, told apart by colour, no two of one size."""
    folder = tmp_path_factory.mktemp("fruit")
    rng = np.random.default_rng(0)
    for split, num in (("train", 8), ("val", 4)):
        for name, colour in (
            ("blue", (40, 60, 200)),
            ("green", (50, 180, 60)),
            ("red", COLOURS[1]),
        ):
            for i in range(num):
                size = (*rng.integers(30, 60, 2), 3)
                image = np.array(colour) * rng.uniform(0.5, 1) + rng.integers(-40, 40, size)
                path = folder / split / name / f"{i:02}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8)[..., ::-1])
    return folder
