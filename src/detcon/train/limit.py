"""A time limit that stops a run as Ctrl-C does: after the current step, with a checkpoint."""

import signal
import threading
import time
from typing import Any

SECONDS_AN_HOUR = 3600


class TimeLimit:
    """Interrupts the main thread once after some hours; None: never.

    A training then saves a checkpoint and raises `Stopped`; anything else `KeyboardInterrupt`.
    Other threads are not interrupted; they can ask `passed`.
    """

    def __init__(self, hours: float | None) -> None:
        self._seconds = None if hours is None else hours * SECONDS_AN_HOUR
        self._end = None if self._seconds is None else time.monotonic() + self._seconds
        self._timer: threading.Timer | None = None
        self._before: Any = None

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return self._end is not None and time.monotonic() >= self._end

    def __enter__(self) -> "TimeLimit":
        is_main = threading.current_thread() is threading.main_thread()
        if self._seconds and is_main:
            # a shell ignores Ctrl-C for what it runs in the background; the limit holds there too
            self._before = signal.signal(signal.SIGINT, signal.default_int_handler)
            self._timer = threading.Timer(self._seconds, _interrupt, [threading.get_ident()])
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            signal.signal(signal.SIGINT, lambda *_: None)  # too late to stop anything
            self._timer.cancel()
            self._timer.join()
            signal.signal(signal.SIGINT, self._before)


def _interrupt(thread: int) -> None:
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, signal.SIGINT)  # wakes it from waiting
    else:
        signal.raise_signal(signal.SIGINT)
