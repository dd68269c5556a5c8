"""Working on many small jobs in processes of their own.

Processes are spawned, not forked: a parent that has used threads can't be forked safely. They
end with their parent, even if that was killed.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for_handles
from typing import TypeVar

import cv2

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

Job = TypeVar("Job")
Result = TypeVar("Result")


class WorkerDied(ChildProcessError):
    """A worker process ended without saying why."""


def in_order(
    work: Callable[[Job], Result], jobs: Iterable[Job], *, num_workers: int
) -> Generator[Result, None, None]:
    """Yields `work(job)` for each job, in the order of jobs, worked out ahead in processes.

    Args:
        work: A function of a module.
        jobs: What to do; picklable. Taken as needed, a few for each worker ahead.
        num_workers: Processes at once; 1 works in this process.

    Raises:
        WorkerDied: If a process is killed, for want of memory for instance.
        Exception: What `work` raised.
    """
    if num_workers == 1:
        with _one_thread():
            yield from map(work, jobs)
        return
    if multiprocessing.parent_process() is not None:
        raise WorkerDied(
            "a worker process began to start workers itself; in a script, put the call under "
            "if __name__ == '__main__':, or give workers=1"
        )
    context = multiprocessing.get_context("spawn")
    ahead: deque[Future[Result]] = deque()
    with (
        _single_threaded_children(),
        ProcessPoolExecutor(num_workers, context, _begin_worker) as pool,
    ):
        try:
            for job in jobs:
                ahead.append(pool.submit(work, job))
                if len(ahead) == 4 * num_workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        except BrokenProcessPool as error:
            raise WorkerDied(
                "a worker process died, perhaps for want of memory: give fewer workers=, and in "
                "a script put the call under if __name__ == '__main__':; what is done is kept"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Children inherit the environment, and libraries read it when they are imported."""
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
    """OpenCV with one thread, as in a worker."""
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
