"""Networks that find masks: opened once in a process, on the device that is there, and known by
their weights.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor


def free_device() -> torch.device:
    """A GPU if there is one (`CUDA_VISIBLE_DEVICES` says which), else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Twelve hexadecimal digits that differ when any weight differs, whatever file it came from."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]


def stamp_of(source: str) -> tuple[int, int] | None:
    """Time and size of a file, so that one that was written anew is opened anew; None if none."""
    path = Path(source)
    if not path.is_file():
        return None
    return path.stat().st_mtime_ns, path.stat().st_size


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch with one thread on the CPU: workers are many, and sums don't depend on their number.

    Threads that begin in here have one, too.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
