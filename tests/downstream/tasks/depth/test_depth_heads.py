"""Tests for detcon.downstream.tasks.depth.network."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, pad

from detcon.downstream.tasks.depth.network import UpProjection, depth_head, up_convolution
from detcon.downstream.tasks.depth.recipe import DepthRecipe

SMALL = {"widths": (12, 8)}


def unpool(x):
    """Every feature in the upper left corner of four pixels, zeros in the other three."""
    out = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    out[:, :, ::2, ::2] = x
    return out


def interleaved(x, kernel):
    """Laina's fast form: four small convolutions of the parts of a 5 x 5 kernel."""
    wide = pad(x, (1, 1, 1, 1))
    out = x.new_zeros(len(x), len(kernel), 2 * x.shape[2], 2 * x.shape[3])
    for row in (0, 1):
        for column in (0, 1):
            part = kernel[:, :, row::2, column::2]
            assert part.shape[2:] == (3 - row, 3 - column)
            out[:, :, row::2, column::2] = conv2d(wide[:, :, row:, column:], part)
    return out


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (5, 2)])
def test_an_up_convolution_is_unpooling_and_a_5_x_5_convolution(size):
    layer = up_convolution(3, 4).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    kernel = layer.weight.detach().transpose(0, 1).flip(2, 3)
    slow = conv2d(unpool(x), kernel, padding=2)
    torch.testing.assert_close(layer(x).detach(), slow)
    torch.testing.assert_close(interleaved(x, kernel), slow)


def test_an_up_projection_is_the_sum_of_two_branches():
    block = UpProjection(6, 4).eval()
    x = torch.randn(2, 6, 3, 5)
    up, norm, relu, smooth, last = block.branch
    expected = last(smooth(relu(norm(up(x))))) + block.projection[1](block.projection[0](x))
    torch.testing.assert_close(block(x), expected.clamp(min=0))
    assert smooth.kernel_size == (3, 3) and block(x).shape == (2, 4, 6, 10)


def test_the_head_of_the_protocol():
    with torch.device("meta"):
        head = depth_head(2048, 32, DepthRecipe())
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == ["Conv2d", "BatchNorm2d"] + ["UpProjection"] * 4 + ["Conv2d"]
    assert head[0].weight.shape == (1024, 2048, 1, 1)
    ups = [block.projection[0].weight.shape for block in head[2:6]]
    sides = [(1024, 512), (512, 256), (256, 128), (128, 64)]
    assert ups == [(a, b, 5, 5) for a, b in sides]
    assert head[-1].weight.shape == (1, 64, 3, 3)


def test_the_deconvolution_head():
    head = depth_head(32, 32, DepthRecipe(head="deconvolution", **SMALL))
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == ["ConvTranspose2d", "BatchNorm2d", "ReLU"] * 2 + ["Conv2d"]
    assert [m.kernel_size for m in head if isinstance(m, nn.ConvTranspose2d)] == [(4, 4)] * 2


@pytest.mark.parametrize("kind", ["up_projection", "deconvolution"])
def test_each_width_doubles_the_resolution(kind):
    head = depth_head(32, 32, DepthRecipe(head=kind, **SMALL))
    assert head(torch.randn(2, 32, 3, 5)).shape == (2, 1, 12, 20)
    head = depth_head(32, 32, DepthRecipe(head=kind, widths=(8,)))
    assert head(torch.randn(2, 32, 3, 5)).shape == (2, 1, 6, 10)


@pytest.mark.parametrize("size", [4, 5])
def test_fresh_weights_keep_the_variance(size):
    recipe = DepthRecipe(head="up_projection" if size == 5 else "deconvolution", widths=(64,))
    layer = next(
        m for m in depth_head(256, 32, recipe).modules() if isinstance(m, nn.ConvTranspose2d)
    )
    with torch.no_grad():
        out = layer(torch.randn(4, layer.in_channels, 16, 16))[:, :, 4:-4, 4:-4]
    assert out.square().mean().item() == pytest.approx(2, rel=0.1)
