"""Random states: kept in checkpoints, and put back after work that must leave no trace."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def rng_state(device: torch.device) -> dict[str, Any]:
    """The states of Python's, numpy's and torch's global generators, as plain data."""
    name, keys, *rest = np.random.get_state(legacy=True)
    on_device = None
    if device.type != "cpu":
        on_device = torch.get_device_module(device).get_rng_state()
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "device": on_device,
    }


def set_rng_state(state: dict[str, Any], device: torch.device) -> None:
    """Puts all generators back to where `rng_state` found them."""
    version, inner, gauss = state["python"]
    random.setstate((version, tuple(inner), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["device"] is not None and device.type != "cpu":
        torch.get_device_module(device).set_rng_state(state["device"])


def seed_rank(seed: int, rank: int) -> None:
    """Seeds torch's generators for what a network draws while it learns, on each rank its own."""
    source = np.random.SeedSequence([seed, rank], spawn_key=(2,))
    torch.manual_seed(int(source.generate_state(1)[0]))


@contextmanager
def rng_untouched(device: torch.device) -> Iterator[None]:
    """A context that may draw numbers: afterwards all generators are as before."""
    before = rng_state(device)
    try:
        yield
    finally:
        set_rng_state(before, device)
