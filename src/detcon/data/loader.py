"""From a dataset to batches: the order of the photos, worker processes, one rank's share."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from detcon.data.batch import Batch
from detcon.data.dataset import PhotoViews, Sample
from detcon.data.order import order_of
from detcon.data.workers import make_ahead


class BatchTooLarge(ValueError):
    """A batch that the photos, or the ranks, can't fill."""


def steps_per_epoch(num_photos: int, batch_size: int) -> int:
    """The number of whole batches in an epoch, or `BatchTooLarge` where there is none."""
    if num_photos < 2:
        raise BatchTooLarge(
            f"cannot train on {num_photos} photo: a batch holds at least 2; give more photos"
        )
    if num_photos < batch_size:
        raise BatchTooLarge(
            f"cannot make a batch of {batch_size} from {num_photos} photos; "
            f"choose batch_size={num_photos} or less"
        )
    return num_photos // batch_size


def batches(
    dataset: PhotoViews,
    *,
    batch_size: int,
    seed: int,
    num_steps: int,
    first_step: int = 0,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Batch]:
    """Yields this rank's share of the batches of a run.

    An epoch is a permutation of all photos, drawn from (seed, epoch), without its last incomplete
    batch. Each rank takes a contiguous slice of each batch. Batches depend neither on the number of
    workers nor on where a run was interrupted.

    Args:
        batch_size: Of all ranks together.
        num_steps: The length of the whole run in steps.
        first_step: Where to begin: the number of steps already made.
        workers: Processes that make batches; 0 makes them here.

    Raises:
        BatchTooLarge: There are fewer photos than one batch has, or it can't be shared evenly.
        ValueError: As `PhotoViews[...]`.
    """
    steps_per_epoch(len(dataset), batch_size)
    if batch_size % world:
        raise BatchTooLarge(
            f"cannot share a batch of {batch_size} evenly among {world} ranks; "
            f"choose a multiple of {world}"
        )
    dataset.keep_in_memory()
    if workers:
        dataset[0, 0]  # what it takes is compiled here, once, and not in each worker
    steps = range(first_step, num_steps)
    order = _order(len(dataset), batch_size, seed, steps, rank=rank, world=world)
    yield from make_ahead(partial(_batch, dataset), order, workers=workers)


def collate(samples: list[Sample]) -> Batch:
    """Joins the samples of a batch; views come first."""
    names = ["images", "ids", "weights", "colour"]
    if samples[0].teacher_weights is not None:
        names.append("teacher_weights")
    joined = {
        name: torch.from_numpy(np.stack([getattr(sample, name) for sample in samples], axis=1))
        for name in names
    }
    labels = [sample.label for sample in samples if sample.label is not None]
    return Batch(
        **joined,
        index=torch.tensor([sample.index for sample in samples]),
        classes=torch.tensor(labels) if labels else None,
        passed_over=tuple(photo for sample in samples for photo in sample.passed_over),
        seconds={
            part: sum(sample.seconds[part] for sample in samples) for part in samples[0].seconds
        },
    )


def _order(
    num_photos: int, batch_size: int, seed: int, steps: range, *, rank: int, world: int
) -> Iterator[list[tuple[int, int]]]:
    """The photos (with their epoch) of one rank's batch, step by step."""
    per_epoch, share = steps_per_epoch(num_photos, batch_size), batch_size // world
    epoch, photos = -1, np.empty(0, int)
    for step in steps:
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            photos = order_of(num_photos, seed, epoch)
        start = step % per_epoch * batch_size + rank * share
        yield [(epoch, int(index)) for index in photos[start : start + share]]


def _batch(samples: PhotoViews, places: list[tuple[int, int]]) -> Batch:
    return collate([samples[place] for place in places])
