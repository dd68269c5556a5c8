"""Tests for detcon.models.dense_features: any photo, cell by cell."""

import numpy as np
import pytest
import torch
from torch import nn

from detcon.models.backbone_file import Backbone, load_backbone
from detcon.models.dense_features import dense_features
from detcon.models.recipe import EncoderRecipe, Normalisation

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)
NARROW = EncoderRecipe(name="resnet18", width=0.125)


def test_is_the_encoders_last_map_of_the_normalised_photo():
    backbone = load_backbone("random", encoder=NARROW)
    photo = np.tile(PHOTO[:32, :64], (2, 2, 1))  # already of a size that cells divide
    mean, std = (
        torch.tensor(v)[:, None, None]
        for v in (backbone.normalisation.mean, backbone.normalisation.std)
    )
    image = (torch.from_numpy(photo).permute(2, 0, 1) / 255 - mean) / std
    found = dense_features(backbone, photo, side=128)
    assert not backbone.encoder.training
    with torch.no_grad():
        assert np.array_equal(found, backbone.encoder(image[None])[0].numpy())


@pytest.mark.parametrize("name, cells", [("resnet18", (2, 4)), ("test_vit", (4, 9))])
def test_photos_keep_their_proportions_as_far_as_cells_do(name, cells):
    recipe = EncoderRecipe(name=name, width=0.125 if name == "resnet18" else 1.0)
    backbone = load_backbone("random", encoder=recipe)
    assert dense_features(backbone, PHOTO, side=140).shape[1:] == cells


class OfOneSize(nn.Module):
    """As a transformer whose positions are fixed."""

    name = "fixed"

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 32, 32)

    def forward(self, photos):
        assert photos.shape[2:] == (224, 224), "input height doesn't match model"
        return self.patches(photos)


def test_says_what_an_encoder_cannot_take():
    fixed = Backbone(OfOneSize(), NARROW, Normalisation(), "fixed", {})
    assert dense_features(fixed, PHOTO[:, :40], side=224).shape == (4, 7, 7)
    with pytest.raises(ValueError, match="photos of 96 x 224 pixels don't fit 'fixed': input heig"):
        dense_features(fixed, PHOTO, side=224)
    with pytest.raises(ValueError, match="the backbone fixed takes photos of 3 channels, but this"):
        dense_features(fixed, PHOTO[..., :1], side=224)
