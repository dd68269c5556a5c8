"""Ctrl-C and signals of schedulers: finish the step at hand, save a checkpoint, then stop."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

SCHEDULERS = tuple(  # Slurm sends SIGTERM before it takes a job's nodes, and SIGUSR1 if asked to
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
SIGNALS = (signal.SIGINT, *SCHEDULERS)
AGAIN = 75
"""The exit code that asks a scheduler to start the command again: EX_TEMPFAIL of sysexits.h."""


class Stopped(SystemExit):
    """The run stopped on request, after saving a checkpoint."""


class StopSignals:
    """While open, a first signal is only noted; a second one interrupts at once.

    Args:
        signals: Those that it is about.

    Attributes:
        received: The number of the signal, or None.
    """

    def __init__(self, signals: Sequence[signal.Signals] = SIGNALS) -> None:
        self.received: int | None = None
        self._signals = signals
        self._waiting = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # else Python has no handlers
            self._before = {
                number: signal.signal(number, self._receive) for number in self._signals
            }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, as a shell expects; after a scheduler's signals `AGAIN`."""
        return 128 + signal.SIGINT if self.received in (None, signal.SIGINT) else AGAIN

    @contextmanager
    def obeyed_at_once(self, now: bool = True) -> Iterator[None]:
        """A context, between steps, in which the first signal interrupts already."""
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
