"""The environment of a run: ranks, devices, versions. The package itself starts no ranks."""

import atexit
import os
import time
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from jaxtyping import Float
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.strategies.ddp import DDPStrategy
from torch import Tensor

from detcon.results.environment import machine_facts
from detcon.workers import num_cores


@dataclass(frozen=True)
class Ranks:
    """This process among the `world` processes, on all machines, of torchrun or Slurm."""

    rank: int = 0
    world: int = 1
    per_machine: int = 1


def ranks() -> Ranks:
    """Reads the environment of torchrun or Slurm."""
    env = os.environ
    if "LOCAL_WORLD_SIZE" in env and "RANK" in env:
        return Ranks(int(env["RANK"]), int(env["WORLD_SIZE"]), int(env["LOCAL_WORLD_SIZE"]))
    if SLURMEnvironment.detect():
        world = int(env["SLURM_NTASKS"])
        return Ranks(int(env["SLURM_PROCID"]), world, world // int(env["SLURM_NNODES"]))
    return Ranks()


def is_first_rank() -> bool:
    """Whether this process has rank 0; it alone writes files."""
    return ranks().rank == 0


def open_fabric(precision: str, accelerator: str = "auto") -> Fabric:
    """Opens one device per rank."""
    place = ranks()
    strategy = DDPStrategy(broadcast_buffers=False) if place.world > 1 else "auto"
    fabric = Fabric(
        accelerator=accelerator,
        strategy=strategy,
        devices=place.per_machine,
        num_nodes=place.world // place.per_machine,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )
    fabric.launch()
    if place.world > 1:
        atexit.unregister(_leave)  # once is enough
        atexit.register(_leave)
    return fabric


def _leave() -> None:
    """Leaves the other ranks, and lets gloo's threads go before the interpreter does.

    They need Python's lock to release the tensors of the last collective; one that asks for it
    when the interpreter is ending takes the whole process down (SIGABRT).
    """
    if dist.is_initialized():
        dist.destroy_process_group()
    time.sleep(0.1)


def agree(fabric: Fabric, *flags: bool | Tensor) -> list[bool]:
    """Whether each flag is true on any rank; all ranks must call this together."""
    if fabric.world_size == 1:
        return [bool(flag) for flag in flags]
    votes = torch.tensor([float(flag) for flag in flags], device=fabric.device)
    joined = cast(Tensor, fabric.all_reduce(votes, reduce_op="max"))
    return [vote > 0 for vote in joined.tolist()]


def wait_for_ranks() -> None:
    """Waits until all ranks are here; returns at once if there is only one."""
    if dist.is_initialized():
        dist.barrier()


def mean_over_ranks(fabric: Fabric, value: Float[Tensor, ""]) -> float:
    """The mean of a value over all ranks, which must call this together; waits for the device."""
    return float(cast(Tensor, fabric.all_reduce(value)))


def gather_objects(fabric: Fabric, value: Any) -> list[Any]:
    """Collects one value of each rank, on every rank."""
    if fabric.world_size == 1:
        return [value]
    values: list[Any] = [None] * fabric.world_size
    dist.all_gather_object(values, value)
    return values


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
    """Whether a device multiplies in bfloat16; on other processors torch emulates it, slowly.

    True where torch can't tell, as before 2.10.
    """
    found = getattr(torch.cpu, "get_capabilities", dict)()
    known = [found[one] for one in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16") if one in found]
    return device.type != "cpu" or not known or any(known)
