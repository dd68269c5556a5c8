"""Tests for detcon.train.replica: which device a rank takes, and which precision."""

import pytest
import torch

from detcon.config import Recipe
from detcon.results.recipe import write_recipe
from detcon.train.environment import Ranks
from detcon.train.recipe import LoopRecipe
from detcon.train.replica import _device, open_replica, settled


@pytest.fixture
def gpus(monkeypatch):
    """Makes torch see so many GPUs."""

    def see(number):
        found = torch.device("cuda") if number else None
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: found)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)

    return see


@pytest.mark.parametrize(
    ("seen", "accelerator", "local", "device"),
    [
        (0, "auto", 0, "cpu"),
        (0, "cpu", 3, "cpu"),
        (8, "cpu", 3, "cpu"),
        (8, "auto", 3, "cuda:3"),
        (8, "cuda", 3, "cuda:3"),
        (1, "auto", 3, "cuda:0"),
    ],
)
def test_each_rank_takes_its_own_device(seen, accelerator, local, device, gpus):
    """Slurm may show each rank one GPU alone, which is then number 0."""
    gpus(seen)
    assert str(_device(accelerator, Ranks(local, 8, 8, local))) == device


def test_a_device_that_is_not_there(gpus):
    gpus(0)
    with pytest.raises(ValueError, match=r"accelerator=cuda was asked for, but .* finds none here"):
        _device("cuda", Ranks())
    gpus(2)
    with pytest.raises(ValueError, match=r"3 ranks .* torch sees 2 GPUs; start one rank for each"):
        _device("auto", Ranks(2, 3, 3, 2))


class OfARun(Recipe):
    loop: LoopRecipe = LoopRecipe()


@pytest.fixture
def processor(monkeypatch):
    """Makes torch see a processor with or without bfloat16."""

    def see(*, bfloat16):
        found = {"avx512_bf16": bfloat16, "amx_bf16": False}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)

    return see


@pytest.mark.parametrize(("bfloat16", "precision"), [(True, "bf16"), (False, "32")])
def test_auto_takes_bfloat16_where_the_processor_has_it(bfloat16, precision, processor, tmp_path):
    processor(bfloat16=bfloat16)
    loop = LoopRecipe(accelerator="cpu")
    assert settled(loop, tmp_path / "new").precision == precision
    assert open_replica("auto", "cpu").precision == precision
    other = LoopRecipe(accelerator="cpu", precision="32" if bfloat16 else "bf16")
    assert settled(other, tmp_path) == other, "what was asked for is taken"


def test_auto_takes_bfloat16_on_gpus_that_multiply_in_it(gpus, monkeypatch, tmp_path):
    gpus(1)
    for multiplies, precision in ((True, "bf16"), (False, "32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: multiplies)  # noqa: B023
        assert settled(LoopRecipe(), tmp_path).precision == precision


@pytest.mark.parametrize("bfloat16", [True, False])
def test_a_run_keeps_its_precision_on_another_processor(bfloat16, processor, tmp_path):
    """So it goes on bit for bit, and nothing is said to differ that nobody changed."""
    processor(bfloat16=bfloat16)
    begun = settled(LoopRecipe(accelerator="cpu"), tmp_path)
    (tmp_path / "seed1").mkdir()
    write_recipe(tmp_path / "seed1", OfARun(loop=begun))
    processor(bfloat16=not bfloat16)
    assert settled(LoopRecipe(accelerator="cpu"), tmp_path / "seed0", tmp_path / "seed1") == begun
