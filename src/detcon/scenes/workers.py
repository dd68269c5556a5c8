"""Doing numbered jobs in processes of their own.

Processes are spawned, not forked: a parent that has used threads can't be forked safely. They end
with their parent, even if that was killed.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

import cv2

_CHUNK = 8  # jobs that a worker is given at a time


class WorkerDied(ChildProcessError):
    """A worker process ended without saying why."""


def do_in_workers(
    work: Callable[[Any, Any], Any], shared: Any, jobs: Sequence[Any], *, num_workers: int
) -> Iterator[Any]:
    """Yields `work(shared, job)` for each job, in order; with one worker, in this process.

    Args:
        work: A function of a module.
        shared: What every job needs; sent to each worker once.
        jobs: What to do; picklable.
        num_workers: Processes at once.

    Raises:
        WorkerDied: If a process is killed, for want of memory for instance.
        Exception: What `work` raised first; the others are stopped.
    """
    num_workers = min(num_workers, -(-len(jobs) // _CHUNK))
    if num_workers <= 1:
        with _one_thread():
            yield from (work(shared, job) for job in jobs)
        return
    if multiprocessing.parent_process() is not None:
        raise WorkerDied(
            "a worker began to make scenes itself; put the call that makes scenes under "
            "if __name__ == '__main__': in your script, or give workers=1"
        )
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers, context, _begin, (work, shared))
    try:
        yield from pool.map(_do, jobs, chunksize=_CHUNK)
    except BrokenProcessPool as error:
        raise WorkerDied(
            "a worker process died, perhaps for want of memory; give fewer workers=, and in a "
            "script put the call under if __name__ == '__main__':; what is done is kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker: dict[str, Any] = {}  # in a worker: its work, and what all its jobs need


def _begin(work: Callable[[Any, Any], Any], shared: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent speaks for all
    cv2.setNumThreads(1)
    _worker.update(work=work, shared=shared)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _do(job: Any) -> Any:
    return _worker["work"](_worker["shared"], job)


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV with one thread, as in a worker."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
