"""Making batches ahead of the network, in forked processes that share what is in memory."""

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from detcon.workers import WorkerDied

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
        make: Makes a batch, which needs `pin_memory()` if there is a GPU.
        places: What each batch is made of.
        workers: Processes; 0 makes batches here.

    Raises:
        ValueError: As `make` raised it; OSError likewise.
        WorkerDied: A worker was killed, or crashed.
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
    with _noticed_between_steps():
        before = set(active_children())
        made_ahead = iter(loader)
        processes = [child for child in active_children() if child not in before]
    try:
        for made in made_ahead:
            if isinstance(made, Exception):
                raise made
            yield made
    except RuntimeError as error:
        dead = next((child for child in processes if child.exitcode), None)
        if dead is None:
            raise
        raise WorkerDied(_death(dead, workers)) from error


@contextmanager
def _noticed_between_steps() -> Iterator[None]:
    """Puts back the handler of SIGCHLD that a loader replaces.

    Torch's raises at once, even in mid-update, where no checkpoint can be saved. Without it, the
    loader notices within seconds, when it waits for a batch of the dead worker.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if handler is not None:  # of a program around this one, not in Python
            signal.signal(signal.SIGCHLD, handler)


def _death(process: BaseProcess, workers: int) -> str:
    code = process.exitcode or 0
    if code > 0:
        how, what = f"ended with code {code}", "look above for its message"
    elif (number := -code) == signal.SIGKILL:
        how = "was killed (SIGKILL), as Linux does where memory runs out"
        what = f"give less than workers={workers}, or shrink large photos (max_side=)"
    elif number == signal.SIGBUS:
        how = "was killed (SIGBUS), as Linux does where shared memory (/dev/shm) is full"
        what = f"make it larger (docker run --shm-size), or give less than workers={workers}"
    else:
        how = f"crashed ({signal.Signals(number).name})"
        what = "give workers=0 to see which photo does it"
    return (
        f"a worker process that reads photos (pid {process.pid}) {how}; {what}, and give the "
        f"command again to go on"
    )


@dataclass(frozen=True)
class _Making(Dataset):
    """Returns errors that a user can fix: raised in a worker, they would come with a traceback."""

    make: Callable[[Any], Any]

    def __getitem__(self, place: Any) -> Any:
        try:
            return self.make(place)
        except (ValueError, OSError) as error:
            return error


def _as_is(batch: Any) -> Any:
    """Replaces torch's collate function, which would look into the batch."""
    return batch


def _one_thread(_: int) -> None:
    """One thread a worker: there are already as many workers as cores."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
