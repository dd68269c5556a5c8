"""Tiny photos and maps."""

import cv2
import numpy as np
import pytest


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.asarray(pixels)[..., ::-1] if np.ndim(pixels) == 3 else pixels)


@pytest.fixture
def write():
    """Writes a picture, in RGB, making its folder."""
    return save
