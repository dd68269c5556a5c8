"""Tests for detcon.data.workers."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch

from detcon.data.workers import SharedMemoryFull, WorkerDied, make_ahead
from detcon.train.stop import AGAIN


@pytest.fixture
def busy_opencv():
    """OpenCV with threads that have worked in this process."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    picture = np.zeros((2000, 2000, 3), np.uint8)
    for _ in range(5):
        cv2.GaussianBlur(cv2.resize(picture, (3000, 3000)), (31, 31), 5)
    yield
    cv2.setNumThreads(before)


def opencv_threads(place: int) -> tuple[int, int]:
    return place, cv2.getNumThreads()


def test_workers_outlive_the_threads_of_opencv(busy_opencv):
    made = list(make_ahead(opencv_threads, range(4), workers=2))
    assert made == [(place, 1) for place in range(4)]


def exp_in_two_threads(place: int) -> float:
    torch.set_num_threads(2)
    return float(torch.full((512, 512), place).exp().mean())


def test_workers_outlive_the_threads_of_torch(monkeypatch):
    """They may use torch in several threads: this process has none left when they fork."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.zeros(512, 512).exp_()
    monkeypatch.setattr("detcon.data.workers.PATIENCE", 5)
    made = list(make_ahead(exp_in_two_threads, [0, 1], workers=1))
    torch.set_num_threads(before)
    assert made == pytest.approx([1, np.e])


def test_more_workers_than_cores_are_no_warning(monkeypatch):
    """Recipes for larger machines have them; torch would warn, which is an error in tests."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert list(make_ahead(opencv_threads, range(2), workers=2)) == [(0, 1), (1, 1)]


@pytest.fixture
def look_often(monkeypatch):
    """At workers, for their death, not every five seconds."""
    loading = torch.utils.data.dataloader._MultiProcessingDataLoaderIter._try_get_data
    monkeypatch.setattr(loading, "__defaults__", (0.1,))


def die_at_two(place: int) -> int:
    if place == 2:
        time.sleep(0.5)  # until those before were fetched
        os.kill(os.getpid(), signal.SIGKILL)
    return place


def exit_at_two(place: int) -> int:
    if place == 2:
        time.sleep(0.5)
        os._exit(3)
    return place


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (die_at_two, r"\(pid \d+\) was killed \(SIGKILL\), .* than workers=1, and give the"),
        (exit_at_two, r"\(pid \d+\) ended with code 3; look above"),
    ],
)
def test_a_worker_that_dies_gets_a_sentence_when_its_batch_is_wanted(make, sentence, look_often):
    handler = signal.getsignal(signal.SIGCHLD)
    made = make_ahead(make, range(4), workers=1)
    assert [next(made), next(made)] == [0, 1]
    assert signal.getsignal(signal.SIGCHLD) is handler, "torch's would raise at any time"
    with pytest.raises(WorkerDied, match=sentence):
        next(made)


def test_what_a_program_does_on_its_own_is_no_death():
    def raising(place):
        raise RuntimeError("a fault of the program")

    with pytest.raises(RuntimeError, match="a fault of the program"):
        next(make_ahead(raising, range(4), workers=1))


@dataclass(frozen=True)
class Two:
    """A batch with tensors at several depths."""

    photos: torch.Tensor
    targets: tuple[dict[str, torch.Tensor], ...]


def ones(place: int) -> Two:
    return Two(torch.ones(1000), ({"boxes": torch.full((7, 4), float(place))},))


def full(*_: object) -> None:
    raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left")


def test_batches_come_whole_through_shared_memory():
    made = list(make_ahead(ones, range(4), workers=2))
    assert [one.targets[0]["boxes"].mean().item() for one in made] == [0, 1, 2, 3]


def test_full_shared_memory_is_a_sentence_and_no_endless_wait(monkeypatch):
    """In torch the queue's own thread meets the error, and the batch is lost."""
    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", full)
    monkeypatch.setattr(torch.UntypedStorage, "_share_filename_cpu_", full)
    with pytest.raises(SharedMemoryFull, match=r"/dev/shm.* has no room .* less than workers=2"):
        next(make_ahead(ones, range(4), workers=2))
    assert len(list(make_ahead(ones, range(4), workers=0))) == 4, "the advice helps"


def stuck_at_two(place: int) -> int:
    while place == 2:
        time.sleep(1)
    return place


def test_workers_that_are_stuck_are_stopped(monkeypatch, look_often):
    monkeypatch.setattr("detcon.data.workers.PATIENCE", 1)
    made = make_ahead(stuck_at_two, range(4), workers=1)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(WorkerDied, match="gave no batch for .* minutes and were stopped; is the"):
        next(made)


def unpicklable_at_two(place: int) -> object:
    return (lambda: 0) if place == 2 else place


def test_a_batch_that_the_queue_loses_is_not_waited_for_without_end(monkeypatch, look_often):
    monkeypatch.setattr("detcon.data.workers.PATIENCE", 1)
    made = make_ahead(unpicklable_at_two, range(4), workers=1)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(WorkerDied, match="gave no batch for"):
        next(made)


STUCK = """
import time, torch
from detcon.data.workers import make_ahead
from detcon.train.stop import StopSignals

torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.1  # torch waits so long for each worker

def stuck(place):
    print("waiting", flush=True)
    while True:
        time.sleep(1)

with StopSignals() as stop:
    try:
        with stop.obeyed_at_once():
            next(make_ahead(stuck, range(1), workers=2))
    except KeyboardInterrupt:
        raise SystemExit(stop.exit_code) from None
"""


def test_a_signal_ends_the_wait_for_stuck_workers():
    with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE) as run:
        try:
            assert run.stdout.readline() == b"waiting\n"
            time.sleep(0.5)  # until it waits, too
            run.send_signal(signal.SIGTERM)
            assert run.wait(timeout=60) == AGAIN
        finally:
            run.kill()
