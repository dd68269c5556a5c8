"""Ctrl-C and SIGTERM: finish the step at hand, then stop where a checkpoint can be written."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(SystemExit):
    """A run that was asked to stop, and did, after saving a checkpoint; exits 128 + signal."""


class StopSignals:
    """While open, a signal only asks; a second one is obeyed at once.

    Attributes:
        received: The number of the signal, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._waiting = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # else Python has no handlers
            self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that a signal ended: 130 after Ctrl-C."""
        return 128 + (self.received or signal.SIGINT)

    @contextmanager
    def obeyed_at_once(self, now: bool = True) -> Iterator[None]:
        """Around waits between steps, where the state is whole and a stop costs nothing."""
        self._waiting = now
        try:
            yield
        finally:
            self._waiting = False

    def _receive(self, number: int, _: FrameType | None) -> None:
        again = self.received is not None
        self.received = number
        if again or self._waiting:
            raise KeyboardInterrupt
