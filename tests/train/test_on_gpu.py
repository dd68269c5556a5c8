"""What a GPU must compute as the CPU does. `benchmarks/on_gpu.py` runs it; skipped without a GPU.

DETCON_GPU_TESTS=cpu compares the CPU with itself: that finds typing errors, and no more.
"""

import os
import warnings

import pytest
import torch
from test_step import regions
from train_things import LOOP, points, train

from detcon.data.colour import NUM_PARAMETERS, apply_colour
from detcon.methods.compositions import detcon_b, detcon_s
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe
from detcon.ops.contrast import contrastive_detection
from detcon.train.finite import NonFiniteLoss
from detcon.train.recipe import AdamW

pytestmark = pytest.mark.gpu
PLACE = os.environ.get("DETCON_GPU_TESTS", "cuda")
if PLACE == "cuda" and not torch.cuda.is_available():
    pytest.skip("there is no GPU", allow_module_level=True)
ON_DEVICE = LOOP.model_copy(update={"accelerator": PLACE})


class Stopped(Exception):
    """Stands for whatever ends a run."""


def learn(folder, make=detcon_s, loop=ON_DEVICE, steps=4, after=None):
    """Some updates on a device: the method, and the loss of each."""
    torch.manual_seed(0)
    method = make(
        build_encoder(EncoderRecipe(name="resnet18", width=0.25, stride=16)), hidden=32, outputs=16
    )
    losses = []

    def after_step(step):
        method.update_target(0.9)
        if after is not None:
            after(step)

    def observe(seen):
        losses.append(seen.query.norm().item())
        return {}

    train(
        folder,
        method,
        lambda first: regions(first, steps),
        steps=steps,
        loop=loop.model_copy(update={"log_every": 1}),
        optimizer=AdamW(lr=1e-3),
        after_step=after_step,
        observe=observe,
        names=None,
    )
    return method.cpu(), losses


def close(one, other, tolerance):
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a.cpu(), b.cpu(), rtol=tolerance, atol=tolerance, msg=name)


def test_the_loss_and_its_gradient():
    rng = torch.Generator().manual_seed(0)
    vectors = [torch.randn(32, 16, 64, generator=rng, dtype=torch.float64) for _ in range(3)]
    ids = [torch.randint(9, (32, 16), generator=rng) for _ in range(2)]
    found = []
    for device, dtype in (("cpu", torch.float64), (PLACE, torch.float32)):
        inputs = [x.to(device, dtype).requires_grad_() for x in vectors]
        loss = contrastive_detection(*inputs, *(x.to(device) for x in ids))
        gradients = torch.autograd.grad(loss, inputs)
        found.append([x.double().cpu() for x in (loss, *gradients)])
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-6)


def test_the_colours():
    rng = torch.Generator().manual_seed(0)
    photos = torch.randint(0, 256, (8, 3, 64, 64), generator=rng, dtype=torch.uint8)
    colour = torch.rand(8, NUM_PARAMETERS, generator=rng)
    colour[:, 4:8] = torch.tensor([2.0, 0.0, 3.0, 1.0])
    options = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    here = apply_colour(photos, colour, **options)
    there = apply_colour(photos.to(PLACE), colour.to(PLACE), **options).cpu()
    torch.testing.assert_close(there, here, rtol=0, atol=0.02)


@pytest.mark.parametrize("make", [detcon_s, detcon_b])
def test_updates_and_the_moving_average(tmp_path, make):
    """Losses, weights, statistics and target after some updates, in float32."""
    on_cpu = ON_DEVICE.model_copy(update={"accelerator": "cpu"})
    expected, of_cpu = learn(tmp_path / "cpu", make, on_cpu)
    found, of_gpu = learn(tmp_path / "gpu", make)
    assert of_gpu == pytest.approx(of_cpu, rel=1e-2)
    close(found, expected, 2e-2)


def test_ten_steps_are_five_and_a_resume_and_five(tmp_path):
    """With dropout: the device's generator goes on where it was."""
    torch.manual_seed(1)
    whole = train(tmp_path / "whole", loop=ON_DEVICE)

    def stop(step):
        if step == 5:
            raise Stopped

    torch.manual_seed(1)
    with pytest.raises(Stopped):
        train(tmp_path / "cut", loop=ON_DEVICE, after_step=stop)
    cut = train(tmp_path / "cut", loop=ON_DEVICE)
    close(whole, cut, 0.0)


def test_a_loss_that_is_nan_stops_the_run(tmp_path):
    with pytest.raises(NonFiniteLoss, match="the loss of step 5 is not finite"):
        train(tmp_path, open_batches=lambda first: points(first, bad=4), loop=ON_DEVICE)


def test_recomputing_gives_the_same(tmp_path):
    plain, _ = learn(tmp_path / "plain")
    again, _ = learn(tmp_path / "again", loop=ON_DEVICE.model_copy(update={"recompute": True}))
    close(again, plain, 1e-3)


def test_compiling_gives_the_same(tmp_path):
    if PLACE == "cpu":
        pytest.skip("compiling takes minutes on a CPU")
    plain, _ = learn(tmp_path / "plain")
    compiled, _ = learn(tmp_path / "it", loop=ON_DEVICE.model_copy(update={"compile": True}))
    close(compiled, plain, 2e-2)


def test_the_host_waits_at_logs_alone(tmp_path):
    if PLACE == "cpu":
        pytest.skip("the host is the device")
    counts = []
    method = detcon_b(
        build_encoder(EncoderRecipe(name="resnet18", width=0.25, stride=16)), hidden=32, outputs=16
    )

    def after_step(step):
        method.update_target(0.9)
        counts.append(len(caught))

    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loop = ON_DEVICE.model_copy(update={"log_every": 100, "checkpoint_every": 100})
            train(
                tmp_path,
                method,
                lambda first: regions(first, 6),
                steps=6,
                loop=loop,
                after_step=after_step,
                names=None,
            )
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(set(counts[1:])) == 1, [str(one.message) for one in caught][-5:]
