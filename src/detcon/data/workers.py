"""Making batches ahead of the network, in forked processes that share what is in memory."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

Place = TypeVar("Place")
Made = TypeVar("Made")


def make_ahead(
    make: Callable[[Place], Made], places: Iterable[Place], *, workers: int
) -> Iterator[Made]:
    """Yields `make(place)` for each place, in order, made by worker processes.

    A whole batch is made in one worker, so that one message a step crosses the processes. Torch's
    global random state isn't touched: a resumed run restores it. With workers, OpenCV has one
    thread here from now on.

    Args:
        make: Makes a batch; it has `pin_memory()` where a GPU waits.
        places: What each batch is made of.
        workers: Processes; 0 makes them here.

    Raises:
        ValueError: What `make` raised, as it raised it; OSError likewise.
    """
    if workers:  # a child would wait for ever for OpenCV's threads, which don't survive a fork
        cv2.setNumThreads(1)
    loader = DataLoader(
        _Making(make),
        batch_size=None,
        sampler=places,
        num_workers=workers,
        collate_fn=_as_is,
        worker_init_fn=_one_thread,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # the default would draw from torch's global state
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
    )
    for made in loader:
        if isinstance(made, Exception):
            raise made
        yield made


@dataclass(frozen=True)
class _Making(Dataset):
    """What a user can mend comes back as a value: raised in a worker, it would reach the user
    wrapped in that worker's traceback.
    """

    make: Callable[[Any], Any]

    def __getitem__(self, place: Any) -> Any:
        try:
            return self.make(place)
        except (ValueError, OSError) as error:
            return error


def _as_is(batch: Any) -> Any:
    """Instead of torch's collate function, which would look into the batch."""
    return batch


def _one_thread(_: int) -> None:
    """Workers are as many as there are cores to use; more threads would only get in the way."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
