"""Runs many small jobs on a cluster of Ray (https://docs.ray.io), the extra `ray`.

The cluster is the one that the environment names (`RAY_ADDRESS`, or `ray job submit`), one that
the caller is connected to, or one that is started on this machine. Its nodes need this package
and see the photos under the same paths; what is made comes back here, and only here is written.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from importlib import import_module
from typing import Any

import cv2

from detcon.workers.local import Job, Result, WorkerDied

_AHEAD = 4  # jobs for each core


def in_order_on_ray(
    work: Callable[[Job], Result], jobs: Iterable[Job]
) -> Generator[Result, None, None]:
    """Yields `work(job)` for each job, in order, computed ahead on all cores.

    Args:
        work: A function of a module.
        jobs: What to do; picklable. Taken as needed, a few for each core ahead, so that memory
            is bounded however many there are.

    Raises:
        ValueError: If Ray isn't installed.
        WorkerDied: If a process or node was lost more often than Ray tries again.
        Exception: What `work` raised.
    """
    ray = _ray()
    if not ray.is_initialized():
        ray.init(log_to_driver=False, configure_logging=False)
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
            ray.cancel(pending)


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


def _ray() -> Any:
    try:
        return import_module("ray")
    except ModuleNotFoundError as error:
        raise ValueError(
            "engine=ray needs Ray, which is not installed here: pip install 'detcon[ray]'"
        ) from error
