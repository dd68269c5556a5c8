"""Tests for detcon.models.memory_format: gradients of narrow networks on CPUs of all kinds.

oneDNN asks once in a process which instructions it may use, and the fault (oneDNN#6035) crashes the
process or hangs it; hence a process a trial. They are forked from one that has loaded torch, and
not yet asked.
"""

import pytest
import torch
from gloo import run_ranks
from torch import nn

from detcon.models.memory_format import set_memory_format

GRADIENTS = """
import copy, os, torch
from detcon.models.memory_format import set_memory_format
from detcon.models.resnet import ResNet

def gradients(network, photos):
    network.zero_grad()
    features = network(photos)
    features.backward(torch.linspace(-1, 1, features.numel()).view(features.shape).to(features))
    return {name: p.grad.double() for name, p in network.named_parameters()}

def check(network, photos, tolerance):
    true = gradients(copy.deepcopy(network).double(), photos.double())  # which oneDNN can't take
    set_memory_format(network, channels_last=True, device="cpu")
    for _ in range(2):
        for name, found in gradients(network, photos).items():
            error = (found - true[name]).abs().max() / true[name].abs().max()
            assert error < tolerance, (name, float(error))

def trial(instructions, threads):
    os.environ["ONEDNN_MAX_CPU_ISA"] = instructions
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    for channels, outputs, size, batch in ((5, 16, 20, 4), (4, 8, 64, 16), (15, 16, 64, 16)):
        narrow = torch.nn.Conv2d(channels, outputs, 1, 2, bias=False)
        photos = torch.randn(batch, channels, size, size).to(memory_format=torch.channels_last)
        check(narrow, photos, 1e-5)
    encoder = ResNet(18, width=0.0625).eval()
    check(encoder, torch.randn(4, 3, 64, 64).to(memory_format=torch.channels_last), 1e-4)
    print("right with", instructions, flush=True)

"""


@pytest.mark.parametrize(("instructions", "threads"), [("AVX2", 2), ("DEFAULT", 1)])
def test_gradients_of_narrow_networks_are_right(instructions, threads, tmp_path):
    said = run_ranks(f"{GRADIENTS}trial('{instructions}', {threads})", tmp_path, exits=(0,))
    assert said == [f"right with {instructions}\n"]


def strides(convolution):
    return convolution.weight.stride()[1:]


def test_only_the_unsafe_convolutions_are_kept_from_channels_last():
    def make():
        return nn.ModuleDict(
            {
                "narrow": nn.Conv2d(15, 4, 1, 2),
                "wide": nn.Conv2d(16, 4, 1, 2),
                "at every pixel": nn.Conv2d(15, 4, 1),
                "grouped": nn.Conv2d(15, 30, 1, 2, groups=15),
                "large": nn.Conv2d(15, 4, 3, 2),
            }
        )

    found = make()
    assert set_memory_format(found, channels_last=True, device="cpu") == 1
    assert strides(found["narrow"]) == (1, 1, 1), "contiguous"
    assert strides(found["wide"]) == (1, 16, 16) and strides(found["large"]) == (1, 45, 15)
    assert [name for name, part in found.items() if part._forward_pre_hooks] == ["narrow"]
    assert set_memory_format(make(), channels_last=True, device="cuda") == 0
    assert set_memory_format(make(), channels_last=False, device="cpu") == 1, "photos may have it"


def test_values_do_not_change():
    convolution = nn.Conv2d(3, 4, 1, 2)
    photos = torch.randn(2, 3, 8, 8)
    before, weight = convolution(photos), convolution.weight.detach().clone()
    set_memory_format(convolution, channels_last=True, device="cpu")
    assert torch.equal(convolution.weight, weight)
    torch.testing.assert_close(convolution(photos.to(memory_format=torch.channels_last)), before)
