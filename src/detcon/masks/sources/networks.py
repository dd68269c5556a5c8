"""Shared by sources that run a network: the device, the digest of the weights, one thread."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


def free_device() -> torch.device:
    """The GPU if there is one (`CUDA_VISIBLE_DEVICES` chooses which), else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def check_digest(network: str, tensors: Mapping[str, Tensor], wanted: str | None) -> str:
    """Twelve hexadecimal digits that identify weights, independent of the file they came from.

    Raises a `ValueError` that names the network if they aren't those `wanted`; None is for any.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    found = digest.hexdigest()[:12]
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
