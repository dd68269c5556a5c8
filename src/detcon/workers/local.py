"""Runs many small jobs on this machine, in threads or processes.

Threads begin at once and share all memory, but take turns with what is plain Python. Processes
are spawned, not forked: a parent that has used threads can't be forked safely. They end with
their parent, even if that was killed.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for_handles
from typing import TypeVar

import cv2

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

Job = TypeVar("Job")
Result = TypeVar("Result")


def num_cores() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class WorkerDied(ChildProcessError):
    """A worker process that ended without an exception."""


def in_order(
    work: Callable[[Job], Result], jobs: Iterable[Job], *, num_workers: int, threads: bool = False
) -> Generator[Result, None, None]:
    """Yields `work(job)` for each job, in order, computed ahead.

    Args:
        work: A function of a module.
        jobs: What to do; picklable. Taken as needed, a few for each worker ahead.
        num_workers: Processes or threads at once; 1 works in this thread.
        threads: Whether they are threads: for work that lets go of Python's lock.

    Raises:
        WorkerDied: If a process is killed, for want of memory for instance.
        Exception: What `work` raised.
    """
    if num_workers == 1:
        with _one_thread():
            yield from map(work, jobs)
        return
    if threads:
        with _one_thread(), ThreadPoolExecutor(num_workers) as pool:
            yield from _ahead(pool, work, jobs, 4 * num_workers)
        return
    if multiprocessing.parent_process() is not None:
        raise WorkerDied(
            "a worker process began to start workers itself; in a script, put the call under "
            "if __name__ == '__main__':, or give workers=1"
        )
    context = multiprocessing.get_context("spawn")
    with (
        _single_threaded_children(),
        ProcessPoolExecutor(num_workers, context, _begin_worker) as pool,
    ):
        try:
            yield from _ahead(pool, work, jobs, 4 * num_workers)
        except BrokenProcessPool as error:
            raise WorkerDied(
                "a worker process died, perhaps for want of memory: give fewer workers=, and in "
                "a script put the call under if __name__ == '__main__':; what is done is kept"
            ) from error


def _ahead(
    pool: Executor, work: Callable[[Job], Result], jobs: Iterable[Job], most: int
) -> Generator[Result, None, None]:
    """Submits jobs ahead: at most `most` that are running, or done and not yet taken."""
    waiting: deque[Future[Result]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) == most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Sets one thread for libraries in child processes, which read the environment."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limits OpenCV to one thread, as in a worker process."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the parent speaks for all
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_handles([parent.sentinel])
        os._exit(1)
