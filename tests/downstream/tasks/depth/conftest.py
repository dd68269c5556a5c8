"""Tiny data with exact depth: rendered scenes, and blocks that are the nearer the brighter."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from detcon.scenes.write import make_scenes


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("depth") / "scenes"
    return make_scenes(out=out, num=32, size=64, seed=0, workers=1)


@pytest.fixture(scope="session")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four grey blocks a picture, wherever; nothing but their brightness says how far they are."""
    folder = tmp_path_factory.mktemp("depth") / "blocks"
    rng = np.random.default_rng(0)
    for part, num in (("train", 24), ("val", 6)):
        for kind in ("images", "depth"):
            (folder / part / kind).mkdir(parents=True)
        for i in range(num):
            nearness = np.kron(rng.uniform(0.2, 1, (2, 2)), np.ones((32, 32)))
            photo = np.repeat((255 * nearness).astype(np.uint8)[..., None], 3, -1)
            cv2.imwrite(str(folder / part / f"images/{i:02}.png"), photo)
            depth = (1000 / nearness).astype(np.uint16)
            cv2.imwrite(str(folder / part / f"depth/{i:02}.png"), depth)
    return folder
