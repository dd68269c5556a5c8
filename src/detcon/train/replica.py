"""One process of a run: its device, its precision, and how it talks to the other ranks."""

import atexit
import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from detcon.results.recipe import read_recipe
from detcon.train.environment import Ranks, has_bfloat16, name_meeting_point, ranks
from detcon.train.recipe import LoopRecipe


@dataclass(frozen=True)
class Replica:
    """The device of this process, one of `world`, and the precision of its passes."""

    device: torch.device
    rank: int = 0
    world: int = 1
    precision: str = "32"

    def autocast(self) -> AbstractContextManager:
        """The context of a forward pass."""
        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def joined(self, module: nn.Module) -> nn.Module:
        """The module as all ranks train it together, gradients averaged; itself on one rank."""
        if self.world == 1:
            return module
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=ids, broadcast_buffers=False)


def settled(loop: LoopRecipe, *folders: str | Path) -> LoopRecipe:
    """`loop` with a precision in place of "auto": a run keeps its own when it is gone on with.

    Args:
        loop: The settings.
        folders: Of the runs; the first that was begun decides, else the device.

    Raises:
        ValueError: There is no such device.
    """
    if loop.precision != "auto":
        return loop
    begun = (saved.deciding for folder in folders if (saved := read_recipe(Path(folder))))
    before = next((one["loop.precision"] for one in begun if "loop.precision" in one), None)
    precision = before or _precision("auto", _device(loop.accelerator, ranks()))
    return loop.model_copy(update={"precision": precision})


def _precision(asked: str, device: torch.device) -> str:
    return asked if asked != "auto" else "bf16" if has_bfloat16(device) else "32"


def open_replica(precision: str, accelerator: str = "auto") -> Replica:
    """Opens the device of this rank and meets the others.

    Raises:
        ValueError: There is no such device, or fewer GPUs than ranks on this machine.
    """
    place = ranks()
    device = _device(accelerator, place)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if place.world > 1 and not dist.is_initialized():
        name_meeting_point()
        if place.rank:  # what torch warns of is the same on all ranks
            warnings.simplefilter("ignore", FutureWarning)
        on_gpu = device.type == "cuda"
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            rank=place.rank,
            world_size=place.world,
            device_id=device if on_gpu else None,
        )
        atexit.register(_leave)
    return Replica(device, place.rank, place.world, _precision(precision, device))


def _device(accelerator: str, place: Ranks) -> torch.device:
    found = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    kind = found.type if accelerator == "auto" else accelerator
    if kind == "cpu":
        return torch.device("cpu")
    if kind != found.type:
        raise ValueError(
            f"accelerator={kind} was asked for, but torch {torch.__version__} finds none here; "
            f"give auto or cpu, or install a torch for it"
        )
    if kind != "cuda":
        return torch.device(kind)
    seen = torch.cuda.device_count()
    if 1 < seen <= place.local:
        raise ValueError(
            f"{place.per_machine} ranks were started on a machine where torch sees {seen} GPUs; "
            f"start one rank for each GPU"
        )
    return torch.device("cuda", place.local if seen > 1 else 0)  # Slurm may show each rank its own


def _leave() -> None:
    """Leaves the other ranks, and lets gloo's threads go before the interpreter does.

    They need Python's lock to release the tensors of the last collective; one that asks for it
    when the interpreter is ending takes the whole process down (SIGABRT).
    """
    if dist.is_initialized():
        dist.destroy_process_group()
    time.sleep(0.1)


def agree(replica: Replica, *flags: bool | Tensor) -> list[bool]:
    """Whether each flag is true on any rank; all ranks must call this together."""
    if replica.world == 1:
        return [bool(flag) for flag in flags]
    votes = torch.tensor([float(flag) for flag in flags], device=replica.device)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return [vote > 0 for vote in votes.tolist()]


def wait_for_ranks() -> None:
    """Waits until all ranks are here; returns at once if there is only one."""
    if dist.is_initialized():
        dist.barrier()


def mean_over_ranks(replica: Replica, value: Float[Tensor, ""]) -> float:
    """The mean of a value over all ranks, which must call this together; waits for the device."""
    if replica.world == 1:
        return float(value)
    total = value.clone()
    dist.all_reduce(total)
    return float(total) / replica.world


def gather_objects(replica: Replica, value: Any) -> list[Any]:
    """Collects one value of each rank, on every rank."""
    if replica.world == 1:
        return [value]
    values: list[Any] = [None] * replica.world
    dist.all_gather_object(values, value)
    return values
