import numpy as np
import pytest
from haiku_resnet import make_checkpoint


@pytest.fixture(scope="session")
def small():
    """A ResNet-50 of an eighth of the width."""
    return make_checkpoint(width=0.125)


@pytest.fixture
def write(tmp_path):
    """Writes a checkpoint as it is released: one pickled dictionary in a .npy file."""

    def write(modules, name="released.npy"):
        np.save(tmp_path / name, modules)
        return tmp_path / name

    return write
