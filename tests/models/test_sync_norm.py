"""Tests for detcon.models.sync_norm: two ranks are one batch."""

import pytest
import torch
from gloo import run_ranks
from torch import nn

from detcon.models.recompute import recomputed
from detcon.models.sync_norm import CpuSyncNorm, synchronise_norms

SIZES = (5, 3)  # of the shares of two ranks
SCRIPT = """
import pathlib, sys, torch, torch.distributed as dist
import test_sync_norm as t
from detcon.train.replica import open_replica
folder = pathlib.Path(sys.argv[1])
rank = open_replica("32", "cpu").rank
for kind in (1, 2):
    torch.save(t.pass_through(t.synchronised(kind), t.share(kind, rank)), folder / f"{kind}{rank}")
few = t.share(1, rank)[: 0 if rank else None]
torch.save(t.pass_through(t.synchronised(1), few), folder / f"none{rank}")
torch.save(t.pass_through(t.synchronised(2), t.share(2, rank), again=True), folder / f"again{rank}")
empty = t.synchronised(2)
empty(torch.zeros(0, 4, 3, 3, dtype=torch.float64))
assert not empty[0].running_mean.any() and (empty[0].running_var == 1).all()
with torch.autocast("cpu", torch.bfloat16):
    half = t.synchronised(1).float()(t.share(1, rank).bfloat16())
assert half.dtype == torch.bfloat16
torch.save(half.detach(), folder / f"half{rank}")
"""


def network(kind):
    norm = (nn.BatchNorm1d if kind == 1 else nn.BatchNorm2d)(4)
    torch.manual_seed(2)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    return nn.Sequential(norm, nn.Tanh()).double()


def synchronised(kind):
    return synchronise_norms(network(kind), "cpu")


def batch(kind):
    generator = torch.Generator().manual_seed(kind)
    shape = (sum(SIZES), 4) if kind == 1 else (sum(SIZES), 4, 3, 2)
    return torch.randn(shape, generator=generator, dtype=torch.float64) * 3 + 1


def share(kind, rank):
    return batch(kind).split(SIZES)[rank]


def pass_through(module, x, again=False):
    """Outputs, gradients and statistics, of a loss that treats every value differently."""
    x = x.clone().requires_grad_()
    y = recomputed(module, x) if again else module(x)
    (y * y.detach().sin()).sum().backward()
    return {
        "y": y.detach(),
        "dx": x.grad,
        "dw": module[0].weight.grad,
        "db": module[0].bias.grad,
    } | {name: value for name, value in module.state_dict().items() if "running" in name}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks(SCRIPT, folder)
    return folder


@pytest.mark.parametrize("name", ["1", "2", "again", "none"])
def test_two_ranks_are_one_batch(folder, name):
    """Outputs, gradients and running statistics; recomputed; and with no row on one rank."""
    kind = {"again": 2, "none": 1}.get(name) or int(name)
    first, second = (torch.load(folder / f"{name}{rank}") for rank in (0, 1))
    x = share(1, 0) if name == "none" else batch(kind)
    whole = pass_through(network(kind), x)
    for key in ("y", "dx"):
        torch.testing.assert_close(torch.cat([first[key], second[key]]), whole[key])
    for key in ("dw", "db"):
        torch.testing.assert_close(first[key] + second[key], whole[key])
    for one in (first, second):
        for key in ("0.running_mean", "0.running_var"):
            torch.testing.assert_close(one[key], whole[key])


def test_half_precision_is_computed_in_float32(folder):
    joined = torch.cat([torch.load(folder / f"half{rank}") for rank in (0, 1)])
    whole = network(1)(batch(1)).detach()
    torch.testing.assert_close(joined.double(), whole, atol=0.02, rtol=0)


@pytest.mark.parametrize(("device", "kind"), [("cpu", CpuSyncNorm), ("cuda", nn.SyncBatchNorm)])
def test_conversion_keeps_names_tensors_and_modes(device, kind):
    module = nn.ModuleDict(
        {"a": nn.BatchNorm1d(3, eps=1e-3, momentum=None), "b": network(2), "c": nn.GroupNorm(1, 2)}
    ).eval()
    before = dict(module.state_dict(keep_vars=True))
    found = synchronise_norms(module, device)
    after = found.state_dict(keep_vars=True)
    assert list(after) == list(before) and all(after[name] is before[name] for name in before)
    assert isinstance(found["a"], kind) and isinstance(found["b"][0], kind)
    assert (found["a"].eps, found["a"].momentum, found["a"].training) == (1e-3, None, False)
    assert isinstance(found["c"], nn.GroupNorm)


def test_alone_and_in_eval_mode_it_is_batch_norm():
    for training in (True, False):
        one, other = network(2).train(training), synchronised(2).train(training)
        assert torch.equal(one(batch(2)), other(batch(2)))
        assert torch.equal(one[0].running_var, other[0].running_var)
    with pytest.raises(ValueError, match="wants rows of channels, not a tensor of 1 axes"):
        CpuSyncNorm(2)(torch.zeros(2))
