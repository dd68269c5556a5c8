"""Pace and progress of a training: photos a second, waits for data, memory, time left, the bar."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Literal

import torch

from detcon.progress import ProgressBar

LINE_EVERY = 10  # logs
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

        Args:
            on: data: it only fetches data. device: it waits for the device, which was busy while
                data were fetched, so that fetching them was no wait. aside: it isn't training, and
                counts for nothing.
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
    """The most memory in use, in GiB, without a wait for the device.

    Of an accelerator, what tensors took on it since the last call; else what this process took
    since its start, without its workers. Nothing where the system doesn't tell.
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
    """Reports once, and early, that a run waits for its data, and what to change.

    Args:
        remedy: What to change: the end of a sentence; "" turns the report off.
    """

    def __init__(self, remedy: str) -> None:
        self._remedy, self._logs, self._sum = remedy, -1, 0.0

    def says(self, share: float, *, is_last: bool) -> str:
        """The report, or ""; called at each log, of which the first (the start) is ignored."""
        self._logs += 1
        if self._logs:
            self._sum += share
        enough = self._logs >= (1 if is_last else PATIENCE)
        if not (self._remedy and enough and self._sum / self._logs > HIGH_WAIT):
            return ""
        report = (
            f"{self._sum / self._logs:.0%} of the time goes into waiting for data; {self._remedy}"
        )
        self._remedy = ""
        return report


class ProgressReport:
    """Shows loss, images a second, time left and the share of waiting for data, on stderr.

    Args:
        title: Before the bar.
        step: Steps made so far.
        steps: Steps in all.
        show: False on all ranks but the first.
    """

    def __init__(self, title: str, *, step: int, steps: int, show: bool = True) -> None:
        self._title, self._steps, self._logs = title, steps, 0
        self._ends: deque[tuple[int, float]] = deque(maxlen=RECENT + 1)  # steps made, and when
        self._bar = ProgressBar(title, steps, done=step, show=show)

    def __enter__(self) -> "ProgressReport":
        self._bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()

    def aside(self) -> AbstractContextManager[None]:
        """Hides the bar while something else may draw one."""
        return self._bar.hidden()

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._bar.say(text)

    def advance(self, step: int) -> None:
        """After each step."""
        self._ends.append((step, time.monotonic()))
        self._bar.reach(step)

    def log(self, step: int, figures: dict[str, float]) -> None:
        """After each log: on the bar, or as a line after the first, every tenth and the last."""
        words = (
            f"loss {figures['loss']:.4g} · {figures['images_per_second']:.0f} images/s · "
            f"data wait {figures['data_wait']:.0%}"
        )
        if self._bar.is_visible:
            self._bar.write(words)
        elif self._logs % LINE_EVERY == 0 or step == self._steps:
            left = self._time_left()
            words += f" · {left} left" if left else ""  # neither unknown nor nothing
            self.say(f"{self._title} {step}/{self._steps} · {words}")
        self._logs += 1

    def _time_left(self) -> timedelta | None:
        """By the pace of recent steps, in whole seconds; None as long as they are too few.

        The first step of a process doesn't count: it compiles, and starts the workers.
        """
        if len(self._ends) <= ENOUGH:
            return None
        (before, begin), (made, now) = self._ends[0], self._ends[-1]
        return timedelta(seconds=round((now - begin) / (made - before) * (self._steps - made)))
