"""Depthwise convolutions that compute in 32 bits where all else is in bfloat16."""

import copy

import pytest
import torch
from torch import nn

from detcon.methods.compositions import simclr
from detcon.models.depthwise import compute_depthwise_in_32_bits
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe
from detcon.train.plan import Plan
from detcon.train.recipe import AdamW, Cosine, LoopRecipe
from detcon.train.state import start


def made(kernel, stride, groups):
    torch.manual_seed(0)
    return nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=groups, bias=False)


def in_bf16(network, x):
    with torch.autocast("cpu", torch.bfloat16):
        return network(x)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 1), (5, 2), (7, 1)])
def test_what_is_slow_is_computed_in_32_bits(kernel, stride):
    """The result has the type of the features, and their exact convolution, rounded once."""
    plain = made(kernel, stride, 8)
    network = copy.deepcopy(plain)
    compute_depthwise_in_32_bits(network)
    x = torch.randn(2, 8, 12, 12).bfloat16().requires_grad_()
    found = in_bf16(network, x)
    assert torch.equal(found, plain(x.float()).bfloat16())
    found.float().sum().backward()
    plain(x.detach().float()).sum().backward()
    assert torch.allclose(network.weight.grad, plain.weight.grad, rtol=1e-2, atol=1e-2)


def test_after_the_training_weights_may_have_any_type():
    network = made(5, 2, 8)
    compute_depthwise_in_32_bits(network)
    assert network.double()(torch.randn(1, 8, 6, 6).double()).dtype == torch.float64


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(3, 1, 8), (3, 2, 1), (1, 2, 2)])
def test_what_is_fast_stays(kernel, stride, groups):
    network = made(kernel, stride, groups)
    compute_depthwise_in_32_bits(network)
    assert "forward" not in vars(network)


def test_a_copy_computes_with_its_own_weights():
    network = nn.Sequential(made(5, 2, 8))
    compute_depthwise_in_32_bits(network)
    compute_depthwise_in_32_bits(network)  # once more changes nothing
    other = copy.deepcopy(network)
    nn.init.zeros_(other[0].weight)
    x = torch.randn(1, 8, 6, 6)
    assert in_bf16(network, x).abs().sum() > 0 and in_bf16(other, x).abs().sum() == 0
    assert list(network.state_dict()) == ["0.weight"]


@pytest.mark.parametrize(("precision", "changed"), [("bf16", True), ("32", False)])
def test_a_training_on_a_cpu_does_so_in_bfloat16(tmp_path, precision, changed):
    encoder = build_encoder(EncoderRecipe(name="efficientnet_lite0"))
    loop = LoopRecipe(precision=precision, accelerator="cpu")
    method = simclr(encoder, hidden=8, outputs=8)
    training = start(method, tmp_path, Plan(1, 4, AdamW(lr=1e-3), Cosine(), loop))
    slow = [part for part in training.module.modules() if "forward" in vars(part)]
    assert bool(slow) is changed
