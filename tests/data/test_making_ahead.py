"""Tests for detcon.data.workers."""

import os
import signal
import time

import cv2
import numpy as np
import pytest
import torch

from detcon.data.workers import WorkerDied, make_ahead


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
        (die_at_two, r"\(pid \d+\) was killed \(SIGKILL\), .* workers=1, or .*max_side="),
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
