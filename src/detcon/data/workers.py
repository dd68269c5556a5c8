"""Making batches ahead of the network, in forked processes that share what is in memory."""

import ctypes
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from detcon.workers import WorkerDied

PATIENCE = 1800  # seconds without a batch, after which workers count as stuck
SHARED_MEMORY = "/dev/shm"

Place = TypeVar("Place")
Made = TypeVar("Made")


def make_ahead(
    make: Callable[[Place], Made], places: Iterable[Place], *, workers: int
) -> Iterator[Made]:
    """Yields `make(place)` for each place, in order, made by worker processes.

    A whole batch is made in one worker, so that one message a step crosses the processes. Torch's
    global random state isn't touched: a resumed run restores it. The threads of OpenCV
    and torch end before processes fork; torch starts its own again when it needs them, OpenCV has
    one from now on.

    Args:
        make: Makes a batch, which needs `pin_memory()` if there is a GPU.
        places: What each batch is made of.
        workers: Processes; 0 makes batches here.

    Raises:
        ValueError: As `make` raised it; OSError likewise.
        WorkerDied: A worker was killed, crashed, or made no batch for half an hour.
        SharedMemoryFull: There is no room to hand over a batch.
    """
    forks = workers > 0 and sys.platform == "linux"
    if forks:
        _end_threads()
    with _noticed_between_steps(), warnings.catch_warnings():
        # of recipes for larger machines: more workers than cores do no harm
        warnings.filterwarnings("ignore", "This DataLoader will create")
        loader = DataLoader(
            _Making(make, workers),
            batch_size=None,
            sampler=places,
            num_workers=workers,
            collate_fn=_as_is,
            worker_init_fn=_one_thread,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # the default would draw from torch's global state
            multiprocessing_context="fork" if forks else None,
        )
        before = set(active_children())
        made_ahead = iter(loader)
        processes = [child for child in active_children() if child not in before]
    watch = _Watch(processes)
    try:
        while True:
            with watch:
                made: Any = next(made_ahead, _END)
            if made is _END:
                return
            if isinstance(made, Exception):
                raise made
            yield made
    except RuntimeError as error:
        if watch.is_over:
            raise WorkerDied(
                f"the worker processes that read photos gave no batch for {PATIENCE / 60:g} "
                f"minutes and were stopped; is the disk with the photos there? Give the command "
                f"again to go on"
            ) from error
        dead = next((child for child in processes if child.exitcode), None)
        if dead is None:
            raise
        raise WorkerDied(_death(dead, workers)) from error


_END = object()


def _end_threads() -> None:
    """Ends the threads of OpenCV and of OpenMP, which torch's operations share.

    They don't survive a fork: a child that asked them to work would wait for ever.
    """
    cv2.setNumThreads(1)
    # of torch's OpenMP, whichever that is; a handle finds what its libraries need, too
    end = getattr(ctypes.CDLL(torch._C.__file__), "omp_pause_resource_all", None)
    if end is not None:
        end(1)  # omp_pause_soft, of OpenMP 5.0


class SharedMemoryFull(OSError):
    """A batch doesn't fit into the shared memory through which workers hand it over."""


class _Watch:
    """A context that kills workers if it isn't left in time: torch would wait for ever."""

    def __init__(self, processes: list[BaseProcess]) -> None:
        self._processes, self.is_over = processes, False

    def __enter__(self) -> None:
        self._timer = threading.Timer(PATIENCE, self._kill)
        self._timer.daemon = True
        if self._processes:
            self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _kill(self) -> None:
        self.is_over = True
        for process in self._processes:
            process.kill()


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
        what = f"give fewer than workers={workers}"
    elif number == signal.SIGBUS:
        how = "was killed (SIGBUS), as Linux does where shared memory (/dev/shm) is full"
        what = f"make it larger (docker run --shm-size), or give fewer than workers={workers}"
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
    workers: int

    def __getitem__(self, place: Any) -> Any:
        try:
            made = self.make(place)
        except (ValueError, OSError) as error:
            return error
        if self.workers:
            try:
                _share(made)
            except (RuntimeError, OSError) as error:
                return SharedMemoryFull(_no_room(self.workers, error))
        return made


def _share(made: Any) -> None:
    """Moves tensors to shared memory.

    Torch does the same when it sends them, but in a thread of the queue: an error there loses the
    batch, and the training would wait for it for ever.
    """
    if isinstance(made, Tensor):
        made.share_memory_()
    elif is_dataclass(made):
        for part in fields(made):
            _share(getattr(made, part.name))
    elif isinstance(made, list | tuple | Mapping):
        for part in made.values() if isinstance(made, Mapping) else made:
            _share(part)


def _no_room(workers: int, error: Exception) -> str:
    try:
        size = f", {shutil.disk_usage(SHARED_MEMORY).total / 2**20:.0f} MiB in all,"
    except OSError:
        size = ""
    return (
        f"the shared memory {SHARED_MEMORY}{size} has no room for a batch (worker processes hand "
        f"batches over in it): make it larger (docker run --shm-size=8g), or give less than "
        f"workers={workers}, and give the command again to go on ({error})"
    )


def _as_is(batch: Any) -> Any:
    """Replaces torch's collate function, which would look into the batch."""
    return batch


def _one_thread(_: int) -> None:
    """One thread a worker: there are already as many workers as cores."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
