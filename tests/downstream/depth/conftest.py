"""Tiny rendered scenes with exact depth."""

from pathlib import Path

import pytest

from detcon.scenes.write import make_scenes


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("depth") / "scenes"
    return make_scenes(out=out, num=32, size=64, seed=0, workers=1)
