"""Photos of two colours, and tiny networks."""

import cv2
import numpy as np
import pytest
import torch

from detcon.models.backbone_file import save_backbone
from detcon.models.encoders import EncoderRecipe, build_encoder
from detcon.models.normalisation import Normalisation

NARROW = EncoderRecipe(name="resnet18", width=0.125)


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


def save_tiny(path, seed=0):
    torch.manual_seed(seed)
    encoder = build_encoder(NARROW)
    save_backbone(path, encoder, NARROW, normalisation=Normalisation())
    return str(path)


@pytest.fixture(scope="session")
def backbone(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("backbone") / "backbone.safetensors")
