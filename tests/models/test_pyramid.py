"""Tests for detcon.models.encoders: four grids of one encoder."""

import pytest
import torch
from torch.nn.functional import interpolate

from detcon.models.encoders import STRIDES, build_encoder, with_pyramid
from detcon.models.recipe import EncoderRecipe


def encoder_of(name, **options):
    torch.manual_seed(0)
    return build_encoder(EncoderRecipe(name=name, **options)).eval()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"width": 0.25}),
        ("resnet50", {"width": 0.125, "same_padding": True}),
        ("convnext_atto", {}),
        ("regnety_002", {}),  # has a stem of stride 2 too
        ("swinv2_cr_tiny_ns_224", {}),  # gives channels last
    ],
)
def test_four_grids_the_last_of_which_is_the_encoders_own(name, options):
    encoder = encoder_of(name, **options)
    size = 224 if "swin" in name else 64
    photos = torch.randn(2, 3, size, size)
    wide = with_pyramid(encoder).eval()
    with torch.no_grad():
        grids, own = wide.pyramid(photos), encoder(photos)
        assert torch.equal(wide(photos), own)
    assert torch.equal(grids[-1], own)
    assert [tuple(grid.shape) for grid in grids] == [
        (2, channels, size // stride, size // stride)
        for channels, stride in zip(wide.pyramid_channels, STRIDES, strict=True)
    ]
    assert list(wide.state_dict()) == list(encoder.state_dict())
    assert wide.num_channels == encoder.num_channels == grids[-1].shape[1]


def test_a_plain_transformer_gives_its_one_grid():
    """A simple feature pyramid makes the others; patches of 14 pixels see smaller photos."""
    for name, cells in (("test_vit", 4), ("eva02_tiny_patch14_224", 4)):
        encoder = encoder_of(name, drop_path=0.1)
        wide, photos = with_pyramid(encoder).eval(), torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            (grid,) = wide.pyramid(photos)
            small = interpolate(photos, size=(4 * encoder.cell,) * 2, mode="bilinear")
            assert torch.equal(grid, encoder(small)) and wide.drop_path == 0.1
        assert grid.shape[2:] == (cells, cells) and wide.pyramid_strides == [16]
        assert list(wide.state_dict()) == list(encoder.state_dict())


@pytest.mark.parametrize(
    ("name", "options", "strides"),
    [
        ("levit_128s", {}, "'levit_128s' here has 16, 32, 64;"),
        ("resnet18", {"stride": 8}, "'ResNet' here has 4, 8, 8, 8;"),
    ],
)
def test_encoders_without_a_pyramid(name, options, strides):
    message = f"4, 8, 16 and 32 pixels a cell, or one of these alone, but {strides} give stride=32"
    with pytest.raises(ValueError, match=message):
        with_pyramid(encoder_of(name, **options))
