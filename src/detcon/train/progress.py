"""Pace and progress of a training: photos a second, waits for data, memory, time left, the bar."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Literal

import torch

from detcon.progress import SILENCE, ProgressBar

LINE_EVERY, SLOW = 10, 20.0  # logs; seconds
RECENT, ENOUGH = 100, 3  # steps whose pace gives the time left: at most, and at least
HIGH_WAIT, PATIENCE = 0.2, 5  # share of the time, and logs that show it


class Throughput:
    """Photos a second, and the share of time spent waiting for data, since last read."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._spent = {"data": 0.0, "device": 0.0, "aside": 0.0}  # seconds
        self._images = 0

    @contextmanager
    def spent(self, on: Literal["data", "device", "aside"]) -> Iterator[None]:
        """A context whose time is counted.

        "data" is time spent on fetching data. "device" is time spent on waiting for the device: it
        was busy while data were fetched, so that fetching them was no wait. "aside" is no training
        at all, and is left out.
        """
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._spent[on] += time.perf_counter() - begin

    def count(self, images: int) -> None:
        """After each step, with its number of photos."""
        self._images += images

    def read(self) -> dict[str, float]:
        """The figures since the last call."""
        seconds = max(time.perf_counter() - self._begin - self._spent["aside"], 1e-9)
        waited = max(0.0, self._spent["data"] - self._spent["device"])
        rates = {
            "images_per_second": self._images / seconds,
            "data_wait": min(1.0, waited / seconds),
        }
        self.__init__()
        return rates


def peak_memory(device: torch.device) -> dict[str, float]:
    """The peak memory in GiB: of tensors on a GPU since the last call, else of this process.

    A process's peak is since its start, without its workers. Empty on Windows.
    """
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "win32":
        return {}
    else:
        import resource  # there is none on Windows

        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"memory": peak / 2**30}


class Waiting:
    """Warns once, and early, that a run waits for its data; `remedy` ends the sentence."""

    def __init__(self, remedy: str) -> None:
        self._remedy, self._logs, self._sum = remedy, -1, 0.0

    def warning(self, share: float, *, is_last: bool) -> str:
        """The warning, or ""; called at each log, of which the first (the start) is ignored."""
        self._logs += 1
        if self._logs:
            self._sum += share
        enough = self._logs >= (1 if is_last else PATIENCE)
        if not (self._remedy and enough and self._sum / self._logs > HIGH_WAIT):
            return ""
        remedy, self._remedy = self._remedy, ""
        return f"{self._sum / self._logs:.0%} of the time goes into waiting for data; {remedy}"


class ProgressReport:
    """Shows loss, images a second, time left and the share of waiting for data.

    They are shown on the bar, or where there is no terminal as a line at the first log, at every
    tenth and at the last, and where the last line is 20 seconds old.
    """

    def __init__(self, title: str, *, step: int, steps: int, show: bool = True) -> None:
        self._title, self._steps, self._logs = title, steps, 0
        self._ends: deque[tuple[int, float]] = deque(maxlen=RECENT + 1)  # steps made, and when
        self.bar = ProgressBar(
            title, steps, done=step, show=show, soon=SILENCE
        )  # a log comes first

    def advance(self, step: int) -> None:
        """After each step."""
        self._ends.append((step, time.monotonic()))
        self.bar.reach(step)

    def log(self, step: int, figures: dict[str, float]) -> None:
        """After each log."""
        words = (
            f"loss {figures['loss']:.4g} · {figures['images_per_second']:.0f} images/s · "
            f"data wait {figures['data_wait']:.0%}"
        )
        if self.bar.is_visible:
            self.bar.write(words)
        elif self._logs % LINE_EVERY == 0 or step == self._steps or self.bar.silent > SLOW:
            left = self._time_left()
            words += f" · {left} left" if left else ""  # neither unknown nor nothing
            self.bar.say(f"{self._title} {step}/{self._steps} · {words}")
        self._logs += 1

    def _time_left(self) -> timedelta | None:
        """The time left by the pace of recent steps; None as long as they are too few.

        The first step of a process doesn't count: it compiles, and starts the workers.
        """
        if len(self._ends) <= ENOUGH:
            return None
        (before, begin), (made, now) = self._ends[0], self._ends[-1]
        return timedelta(seconds=round((now - begin) / (made - before) * (self._steps - made)))
