"""The joined batch of all ranks: its targets, and its groups of photos contrasted together."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """A group of photos contrasted with each other, and this rank's share of it.

    Attributes:
        photos: Their numbers in the joined batch of all ranks.
        mine: This rank's among them, counted from this rank's first photo.
        first: The first of these, counted from the group's first photo.
    """

    photos: range
    mine: slice
    first: int


def groups_of_rank(photos: int, num_groups: int) -> Iterator[Group]:
    """The groups that this rank's photos are in, in order.

    The joined batch, of `photos` from each rank, is cut into `num_groups` groups of equal size,
    regardless of where ranks begin and end.

    Raises:
        ValueError: The joined batch can't be cut evenly.
    """
    rank, world = rank_and_world()
    joined, start = photos * world, photos * rank
    size, rest = divmod(joined, num_groups)
    if rest:
        raise ValueError(
            f"a batch of {joined} photos can't be cut into {num_groups} equal groups of "
            f"negatives; choose a multiple of {num_groups} as batch_size"
        )
    for begin in range(start // size * size, start + photos, size):
        first, last = max(begin, start), min(begin + size, start + photos)
        mine = slice(first - start, last - start)
        yield Group(range(begin, begin + size), mine, first - begin)


def gather_photos(targets: Float[Tensor, "b r d"]) -> Float[Tensor, "n r d"]:
    """Gathers the targets of all ranks, in order of rank; gradients go back to each rank."""
    return _Gather.apply(targets) if rank_and_world()[1] > 1 else targets


def rank_and_world() -> tuple[int, int]:
    """This rank's number, and how many there are; 0 and 1 without torch.distributed."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class _Gather(torch.autograd.Function):
    """All-gather whose backward sums over ranks; the mean is taken by DDP."""

    @staticmethod
    def forward(ctx, x):
        ctx.photos = x.shape[0]
        parts = [torch.empty_like(x) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient):
        own = gradient.new_empty(ctx.photos, *gradient.shape[1:])
        torch.distributed.reduce_scatter_tensor(own, gradient.contiguous())
        return own
