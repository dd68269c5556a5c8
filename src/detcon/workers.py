"""Runs many small jobs in order: on this machine, or on a cluster of Ray.

Threads start at once and share all memory, but take turns in plain Python. Processes are spawned,
not forked: a parent that has used threads can't be forked safely. They end with their parent, even
if that was killed.

Ray (https://docs.ray.io) is the extra `ray`. The cluster is the one that the environment names
(`RAY_ADDRESS`, or `ray job submit`), one that the caller is connected to, or one that is started on
this machine. Its nodes need this package and see the photos under the same paths. Results come back
to this process, which alone writes files.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing.connection import wait as wait_for_handles
from typing import Any, TypeVar

import cv2

_AHEAD = 4  # jobs for each worker
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
        jobs: Picklable. Taken as needed, a few for each worker, so that memory stays bounded.
        num_workers: Processes or threads at once; 1 works in this thread.
        threads: Use threads: for work that releases Python's lock.

    Raises:
        WorkerDied: If a process is killed, for instance for lack of memory.
        Exception: Any that `work` raises.
    """
    if num_workers == 1:
        with _one_thread():
            yield from map(work, jobs)
        return
    if threads:
        with _one_thread(), ThreadPoolExecutor(num_workers) as pool:
            yield from _ahead(pool, work, jobs, _AHEAD * num_workers)
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
            yield from _ahead(pool, work, jobs, _AHEAD * num_workers)
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


def in_order_on_ray(
    work: Callable[[Job], Result], jobs: Iterable[Job]
) -> Generator[Result, None, None]:
    """Yields `work(job)` for each job, in order, computed ahead on all cores.

    Raises:
        ValueError: If Ray isn't installed, or its cluster can't be reached.
        WorkerDied: If a process or node was lost more often than Ray retries.
        Exception: Any that `work` raises.
    """
    try:
        ray = import_module("ray")
    except ModuleNotFoundError as error:
        raise ValueError(
            "engine=ray needs Ray, which is not installed here: pip install 'detcon[ray]'"
        ) from error
    if not ray.is_initialized():
        _join(ray)
    most = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    task = ray.remote(num_cpus=1)(_work)
    ahead: deque[Any] = deque()
    try:
        for job in jobs:
            ahead.append(task.remote(work, job, os.getcwd()))
            if len(ahead) == most:
                yield _result(ray, ahead.popleft())
        while ahead:
            yield _result(ray, ahead.popleft())
    finally:
        for pending in ahead:
            with suppress(ray.exceptions.RayError):  # the cluster may be gone
                ray.cancel(pending)


def _join(ray: Any) -> None:
    """Joins the cluster that the environment names, or starts one here."""
    try:
        ray.init(log_to_driver=False, configure_logging=False)
    except Exception as error:  # Ray has many, of addresses and of versions
        address = os.environ.get("RAY_ADDRESS")
        where = f"the cluster of RAY_ADDRESS={address}" if address else "a cluster on this machine"
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"engine=ray can't use {where} ({reason}); see whether 'ray status' finds one, correct "
            f"RAY_ADDRESS, or leave engine= out"
        ) from error


def _work(work: Callable[[Job], Result], job: Job, folder: str) -> Result:
    """Runs a job on a node, with one thread, in the folder of the calling process."""
    cv2.setNumThreads(1)
    os.chdir(folder)
    return work(job)


def _result(ray: Any, pending: Any) -> Any:
    try:
        return ray.get(pending)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause or error) from None
    except ray.exceptions.RayError as error:
        raise WorkerDied(
            f"the cluster of Ray lost a job ({type(error).__name__}); give the command again, what "
            f"is done is kept"
        ) from error
