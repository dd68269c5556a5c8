"""The environment of a run: ranks, machine, versions. The package itself starts no ranks."""

import ctypes
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from detcon.notes import note
from detcon.results.environment import machine_facts
from detcon.workers import num_cores


@dataclass(frozen=True)
class Ranks:
    """This process among the `world` processes, on all machines, of torchrun or Slurm.

    Attributes:
        local: Its number on its machine, below `per_machine`.
    """

    rank: int = 0
    world: int = 1
    per_machine: int = 1
    local: int = 0


def ranks() -> Ranks:
    """Reads the environment of torchrun or Slurm."""
    env = os.environ
    if "LOCAL_WORLD_SIZE" in env and "RANK" in env:
        names = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "LOCAL_RANK")
        return Ranks(*(int(env[name]) for name in names))
    # in an interactive job, as of `salloc`, a command is no rank
    if "SLURM_NTASKS" in env and env.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        world = int(env["SLURM_NTASKS"])
        here = world // int(env["SLURM_NNODES"])
        return Ranks(int(env["SLURM_PROCID"]), world, here, int(env["SLURM_LOCALID"]))
    return Ranks()


def is_first_rank() -> bool:
    """Whether this process has rank 0; it alone writes files."""
    return ranks().rank == 0


def name_meeting_point() -> None:
    """Tells torch where the ranks of a Slurm job meet: its first machine, a port from its number.

    torchrun does so itself, and what the environment says already stays.
    """
    env = os.environ
    names = env.get("SLURM_JOB_NODELIST", env.get("SLURM_NODELIST", "127.0.0.1"))
    first = re.sub(r"\[([^],-]*).*?\]", r"\1", names).partition(",")[0]  # gpu[07-09,12],login
    env.setdefault("MASTER_ADDR", first)
    env.setdefault("MASTER_PORT", str(15_000 + int(env.get("SLURM_JOB_ID", "0")[-4:])))


def leave_a_core(workers: int) -> None:
    """Gives torch one thread where it shares two cores with worker processes.

    Its threads wait for each other at every operation, and one that another process keeps from its
    core holds up all: `benchmarks/busy.py`. OMP_NUM_THREADS says otherwise.
    """
    if workers and num_cores() // ranks().per_machine == 2 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
        note(
            "torch takes one of two cores, the worker processes the other; OMP_NUM_THREADS=2 may "
            "be faster if nothing else runs"
        )


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """Within the block memory that is freed on a CPU serves the next allocation, as on a GPU.

    glibc's malloc hands every freed block above 32 MiB back to the system, and gets it again as
    zeroed pages: of all large activations, in every step. `benchmarks/allocator.py` says what that
    costs. Other C libraries, and thresholds of the user's own, stay as they are.
    """
    libc = ctypes.CDLL(None) if os.name == "posix" else None
    is_glibc = hasattr(libc, "malloc_trim")
    if device.type != "cpu" or libc is None or not is_glibc or _has_thresholds(os.environ):
        yield
        return
    trim_threshold, mmap_max = -1, -4  # names of malloc.h
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, -1)  # never
    try:
        yield
    finally:
        libc.mallopt(mmap_max, 65_536)  # the default
        libc.mallopt(trim_threshold, 2**26)  # that of blocks of 32 MiB
        libc.malloc_trim(0)


def _has_thresholds(env: Mapping[str, str]) -> bool:
    """Whether the user has told glibc when memory goes back to the system."""
    names = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
    return any(name in env for name in names) or "glibc.malloc" in env.get("GLIBC_TUNABLES", "")


def describe_environment(command: str = "") -> dict[str, Any]:
    """The machine, devices and versions, for `environment.json`."""
    has_gpu = torch.cuda.is_available()
    return machine_facts(
        command,
        device=torch.cuda.get_device_name() if has_gpu else "cpu",
        cores=num_cores(),
        threads=torch.get_num_threads(),
        ranks=ranks().world,
    )


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies in bfloat16; on others torch emulates it, slowly.

    True where torch can't tell, as before 2.10.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = getattr(torch.cpu, "get_capabilities", dict)()
    known = [found[one] for one in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16") if one in found]
    return device.type != "cpu" or not known or any(known)
