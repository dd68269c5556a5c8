"""Tests for detcon.train.replica: which device a rank takes."""

import pytest
import torch

from detcon.train.environment import Ranks
from detcon.train.replica import _device


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
