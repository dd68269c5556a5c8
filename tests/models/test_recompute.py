"""Tests for activation checkpointing: the same gradients and statistics, with less kept."""

import copy

import pytest
import torch

from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe

PHOTOS = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def kept_bytes(encoder):
    """Backward; what the forward pass kept for it, in bytes, and all that it left behind."""
    kept = []

    def pack(tensor):
        kept.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = encoder(PHOTOS).square().mean()
    loss.backward()
    gradients = {name: p.grad for name, p in encoder.named_parameters()}
    return sum(kept), gradients, dict(encoder.named_buffers())


@pytest.mark.parametrize(
    "recipe",
    [
        EncoderRecipe(name="resnet18", width=0.25),
        EncoderRecipe(name="resnet50", width=0.25, stride=16),
        EncoderRecipe(name="convnext_atto"),
        EncoderRecipe(name="vit_tiny_patch16_224"),
        EncoderRecipe(name="test_vit", drop_path=0.5),
        EncoderRecipe(name="vit_tiny_patch16_dinov3_qkvb"),
        EncoderRecipe(name="test_convnext", drop_path=0.5),
    ],
    ids=lambda recipe: recipe.name,
)
def test_equal_and_smaller(recipe):
    torch.manual_seed(0)
    plain = build_encoder(recipe)
    again = copy.deepcopy(plain)
    again.recompute_activations()
    torch.manual_seed(1)  # of the paths that are dropped
    much, gradients, buffers = kept_bytes(plain)
    torch.manual_seed(1)
    little, same_gradients, same_buffers = kept_bytes(again)
    torch.testing.assert_close(same_gradients, gradients, rtol=0, atol=0)
    torch.testing.assert_close(same_buffers, buffers, rtol=0, atol=0)
    assert little < 0.7 * much
    assert again.training and all(m.training for m in again.modules())


def test_norms_still_track_afterwards():
    encoder = build_encoder(EncoderRecipe(name="resnet18", width=0.125))
    encoder.recompute_activations()
    kept_bytes(encoder)
    assert int(encoder.layer4[1].bn2.num_batches_tracked) == 1
    assert encoder.layer4[1].bn2.momentum == 0.1


def test_says_where_it_would_be_wrong():
    encoder = build_encoder(EncoderRecipe(name="resnet10t"))
    with pytest.raises(ValueError, match="doesn't work with the batch norms of 'resnet10t'"):
        encoder.recompute_activations()
