"""Tests for detcon.data.workers."""

import cv2
import numpy as np
import pytest

from detcon.data.workers import make_ahead


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
