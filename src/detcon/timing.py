"""Where the time of a step goes: its parts are timed in a few steps, and cost nothing in others.

Time on a CPU is read from the clock. On a GPU it is read from events in its queue, between which
the parts' work lies, so that no step waits for the device: only `seconds` does.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

REST = "rest"


class Times:
    """The times at which one part of a step gave way to another."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._marks: list[tuple[str, Any]] = []
        self.part = REST
        self.switch(REST)

    def switch(self, part: str) -> None:
        """From now on, time belongs to this part."""
        self.part = part
        now: Any = time.perf_counter()
        if self._on_gpu:
            now = torch.cuda.Event(enable_timing=True)
            now.record()
        self._marks.append((part, now))

    def seconds(self) -> dict[str, float]:
        """The seconds of each part, all together those from begin to end; waits for a GPU."""
        if self._on_gpu and not self._marks[-1][1].query():
            self._marks[-1][1].synchronize()
        sums: dict[str, float] = {}
        for (part, begin), (_, end) in zip(self._marks, self._marks[1:]):
            taken = begin.elapsed_time(end) / 1000 if self._on_gpu else end - begin
            sums[part] = sums.get(part, 0.0) + taken
        return sums


_current: Times | None = None


@contextmanager
def timed_step(device: torch.device) -> Iterator[Times]:
    """Times the parts of what is done within; what is in no part is the rest.

    >>> with timed_step(torch.device("cpu")) as times:
    ...     with timed("forward"):
    ...         pass
    >>> sorted(times.seconds())
    ['forward', 'rest']
    """
    global _current
    _current = times = Times(device)
    try:
        yield times
    finally:
        times.switch(REST)
        _current = None


@contextmanager
def timed(part: str) -> Iterator[None]:
    """A part of a step, timed if the step is; a part within another one doesn't count for that."""
    times = _current
    if times is None:
        yield
        return
    outer = times.part
    times.switch(part)
    try:
        yield
    finally:
        times.switch(outer)
