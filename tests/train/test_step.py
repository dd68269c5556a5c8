"""What makes a step fast, as far as it can be tested without a clock."""

from functools import partialmethod

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from train_things import LOOP, Net, train

from detcon.data.batch import Batch
from detcon.data.colour import NUM_PARAMETERS
from detcon.methods.compositions import detcon_b, detcon_s
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe
from detcon.train import steps as the_steps
from detcon.train.recipe import AdamW, Lars, Sgd

WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim"}


class Waits(TorchDispatchMode):
    """Counts the operations for which a GPU would have to be waited."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        masks = name.startswith("index") and any(
            i is not None and i.dtype == torch.bool for i in args[1] if torch.is_tensor(i)
        )
        if name in WAITING or masks:
            self.seen.append(name)
        return function(*args, **(kwargs or {}))


def regions(first, steps=6):
    for step in range(first, steps):
        rng = torch.Generator().manual_seed(step)
        colour = torch.rand(2, 4, NUM_PARAMETERS, generator=rng)
        colour[..., 4:8] = torch.tensor([2.0, 0.0, 3.0, 1.0])
        yield Batch(
            torch.randint(0, 256, (2, 4, 3, 32, 32), generator=rng, dtype=torch.uint8),
            torch.randint(-1, 3, (2, 4, 5), generator=rng),
            torch.rand(2, 4, 5, 2, 2, generator=rng),
            colour,
            torch.arange(4),
        )


@pytest.mark.parametrize("optimizer", [Lars(lr=0.1), Sgd(lr=0.1), AdamW(lr=1e-3)])
@pytest.mark.parametrize("make", [detcon_s, detcon_b])
def test_no_step_waits_for_the_device_between_logs(tmp_path, monkeypatch, make, optimizer):
    monkeypatch.setattr(the_steps, "Before", lambda *_: None)  # on CPUs alone, where it's free
    encoder = build_encoder(EncoderRecipe(name="resnet18", width=0.125, stride=16))
    method = make(encoder, hidden=16, outputs=8)
    counts = []
    with Waits() as waits:

        def after(step):
            method.update_target(0.9)
            counts.append(len(waits.seen))

        loop = LOOP.model_copy(update={"log_every": 100, "checkpoint_every": 100})
        train(
            tmp_path,
            method,
            regions,
            steps=6,
            loop=loop,
            optimizer=optimizer,
            after_step=after,
            names=None,
        )
    assert counts[1] > 0, "the log after the first step waits, and this test sees it"
    assert counts[1:] == [counts[1]] * 5, waits.seen


class Scaled(Net):
    """Without the dropout, whose draws a compiler may order in its own way."""

    def __init__(self):
        super().__init__()
        self.layers[3] = torch.nn.Identity()


def test_compiled_learns_the_same(tmp_path, monkeypatch):
    """By the tracer alone: the code generator takes a minute, and is torch's business."""
    compile_plainly = partialmethod(torch.nn.Module.compile, backend="aot_eager")
    monkeypatch.setattr(torch.nn.Module, "compile", compile_plainly)
    plain = train(tmp_path / "plain", Scaled(), steps=3)
    loop = LOOP.model_copy(update={"compile": True})
    compiled = train(tmp_path / "compiled", Scaled(), steps=3, loop=loop)
    assert compiled.layers._compiled_call_impl is not None
    torch.testing.assert_close(compiled.state_dict(), plain.state_dict())  # the same keys, too


def test_recomputing_learns_the_same(tmp_path):
    ends = []
    for recompute in (False, True):
        torch.manual_seed(0)
        encoder = build_encoder(EncoderRecipe(name="resnet18", width=0.125, stride=16))
        method = detcon_s(encoder, hidden=16, outputs=8)
        loop = LOOP.model_copy(update={"recompute": recompute})
        train(tmp_path / str(recompute), method, regions, steps=3, loop=loop, names=None)
        ends.append(method.state_dict())
    torch.testing.assert_close(*ends, rtol=0, atol=0)


def test_says_what_cannot_be_recomputed(tmp_path):
    loop = LOOP.model_copy(update={"recompute": True})
    with pytest.raises(ValueError, match=r"loop\.recompute doesn't work with Net"):
        train(tmp_path, loop=loop)
