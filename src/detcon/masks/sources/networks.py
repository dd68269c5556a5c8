"""Shared by sources that run a network: the device, the digest of the weights, one thread."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from detcon.models.backbone_file import weights_digest


def free_device() -> torch.device:
    """The GPU if there is one (`CUDA_VISIBLE_DEVICES` chooses which), else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def check_digest(network: str, tensors: Mapping[str, Tensor], wanted: str | None) -> str:
    """The digest of weights; an error that names the network if they aren't those `wanted`."""
    found = weights_digest(tensors)
    if wanted not in (None, found):
        raise ValueError(
            f"the {network} has the digest {found}, not {wanted}; give another out=, and leave "
            f"generator.digest out"
        )
    return found


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs torch with one thread on the CPU, so that sums don't depend on the number of threads.

    Threads started inside also have one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
