"""The training examples of each step, independent of the number of workers and ranks."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TypeVar

from detcon.data.loader import permutation
from detcon.data.workers import make_ahead

Batch = TypeVar("Batch")


def order(
    num_examples: int, *, batch_size: int, seed: int, first_step: int, num_steps: int
) -> Iterator[list[tuple[int, int]]]:
    """Which examples each step sees: permutations one after another, cut into full batches.

    With few labels an epoch is shorter than a batch; so batches run on over its end, and no
    example is left out. The position follows from the step alone: nothing to store for resuming.
    """
    for step in range(first_step, num_steps):
        numbers = (
            divmod(n, num_examples) for n in range(step * batch_size, (step + 1) * batch_size)
        )
        yield [(epoch, _permutation(num_examples, seed, epoch)[place]) for epoch, place in numbers]


@lru_cache(maxsize=4)
def _permutation(num_examples: int, seed: int, epoch: int) -> list[int]:
    return permutation(num_examples, seed, epoch).tolist()


def batches(
    make: Callable[[list[tuple[int, int]]], Batch],
    *,
    num_examples: int,
    seed: int,
    batch_size: int,
    first_step: int,
    num_steps: int,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Batch]:
    """This rank's share of the batches of steps `first_step` to `num_steps`.

    Args:
        make: From (epoch, number of the example) of each member to the batch; picklable, and its
            draws come from these and the seed alone.
        num_examples: How many there are to choose from.
        seed: Of the order.
        batch_size: Examples a step, on all ranks.
        first_step: Where to begin.
        num_steps: Where to end.
        workers: Processes that make batches.
        rank: Of this process.
        world: How many there are.

    Raises:
        ValueError: The batch can't be divided among the ranks; or a example can't be read.
    """
    if batch_size % world:
        raise ValueError(
            f"cannot divide batch_size={batch_size} among {world} processes; choose a multiple"
        )
    share = slice(rank * batch_size // world, (rank + 1) * batch_size // world)
    steps = order(
        num_examples,
        batch_size=batch_size,
        seed=seed,
        first_step=first_step,
        num_steps=num_steps,
    )
    places = (step[share] for step in steps)
    yield from make_ahead(make, places, workers=workers)
