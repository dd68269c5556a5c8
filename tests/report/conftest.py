"""Collections and run folders to make pages of."""

from types import SimpleNamespace

import numpy as np
import pytest
from run_folders import scene, write_picture, write_runs

from detcon.masks.sources import Felzenszwalb
from detcon.masks.store.fill import make_masks


@pytest.fixture(scope="session")
def collection(tmp_path_factory) -> SimpleNamespace:
    """Six photos and their masks."""
    root = tmp_path_factory.mktemp("collection")
    rng = np.random.default_rng(0)
    for number in range(6):
        write_picture(root / "photos" / f"{number:03d}.png", scene(rng)[0])
    make_masks(
        images=str(root / "photos"), out=str(root / "masks"), workers=1,
        generator=Felzenszwalb(scale=300.0, min_size=60),
    )  # fmt: skip
    return SimpleNamespace(photos=root / "photos", masks=root / "masks")


@pytest.fixture
def runs(tmp_path, collection) -> SimpleNamespace:
    """Two pretraining runs and the transfer of both and of random weights, three seeds each."""
    return write_runs(tmp_path / "runs", collection)
