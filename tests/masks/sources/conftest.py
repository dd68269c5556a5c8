"""Photos of two colours, and a tiny backbone."""

import cv2
import numpy as np
import pytest
from tiny_backbones import save_tiny


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Twenty photos: a square on another colour, where the number says."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(20):
        photo = rng.integers(0, 40, (48, 64, 3), dtype=np.uint8)
        photo[8:40, number : number + 32] += np.uint8(200)
        cv2.imwrite(str(folder / f"{number:02d}.png"), photo)
    return folder


@pytest.fixture(scope="session")
def backbone(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("backbone") / "backbone.safetensors")
