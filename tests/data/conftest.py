"""Photos and masks that the tests of this room share."""

import cv2
import numpy as np
import pytest

from detcon.masks.masks import Masks
from detcon.photos import open_photos


@pytest.fixture
def write_photos(tmp_path):
    """Writes photos of noise and opens them."""

    def write(num, size=(40, 50)):
        rng = np.random.default_rng(0)
        for i in range(num):
            noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / f"{i}.png"), noise)
        return open_photos(tmp_path)

    return write


@pytest.fixture
def quarters():
    """Makes the masks 0, 1, 2, 3 of the quarters of a photo."""

    def make(size=(40, 50)):
        rows, columns = np.indices(size)
        return Masks.from_labels((rows >= size[0] // 2) * 2 + (columns >= size[1] // 2))

    return make


@pytest.fixture
def make_store(quarters):
    return lambda photos: {key: quarters() for key in photos.keys}


@pytest.fixture
def photos(write_photos):
    return write_photos(4)


@pytest.fixture
def store(photos, make_store):
    return make_store(photos)
