"""The progress bar of all commands; where there is no terminal, a line now and then.

It is drawn on stderr, so that what a command prints can be piped.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from detcon.notes import as_told

Item = TypeVar("Item")
SOON, SILENCE = 10.0, 60.0  # seconds


class ProgressBar:
    """A progress bar: title, bar, done of total, a few words, time left.

    Args:
        done: How many of the things to do are done already.
        words: Text after the numbers: the unit, or figures that change.
        transient: Whether the bar leaves the terminal when it is done.
        show: False on all ranks but the first.
        soon: Seconds after which the first line comes where there is no terminal.

    Attributes:
        is_visible: Whether there is a terminal to draw on.
    """

    def __init__(
        self,
        title: str,
        total: int,
        *,
        done: int = 0,
        words: str = "",
        transient: bool = False,
        show: bool = True,
        soon: float = SOON,
    ) -> None:
        self._console = Console(stderr=True, quiet=not show)
        self.is_visible = show and self._console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self._console,
            transient=transient,
            disable=not self.is_visible,
        )
        self._title, self._total, self._done, self._words = title, total, done, words
        self._first: int | None = None  # what was done when the pace began
        self._said = time.monotonic() - SILENCE + soon
        self._task = self._bar.add_task(title, total=total, completed=done, words=words)

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, num: int = 1) -> None:
        """Counts things that were done."""
        self.reach(self._done + num)

    def reach(self, done: int) -> None:
        """Sets the number of things that are done."""
        if self._first is None:  # before it loops may have been compiled, which comes once
            self._first, self._begin = done, time.monotonic()
        self._done = done
        self._bar.update(self._task, completed=done)
        if not self.is_visible and time.monotonic() > self._said + SILENCE:
            words = f"{self._title} {done}/{self._total} {self._words}".rstrip()
            made, missing = self._done - self._first, self._total - self._done
            self.say(words + time_left(self._begin, made, missing))  # the bar has its own

    @property
    def silent(self) -> float:
        """Seconds since the last line."""
        return time.monotonic() - self._said

    def write(self, words: str) -> None:
        """Changes the words after the numbers."""
        self._words = words
        self._bar.update(self._task, words=words)

    def say(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        self._said = time.monotonic()
        self._console.print(as_told(text), highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Takes the bar off the terminal while something else draws its own."""
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()


def time_left(begin: float, made: int, missing: int) -> str:
    """The end of a line: the time left at the pace since `begin`, of `time.monotonic`; "" at first.

    >>> time_left(time.monotonic() - 60, made=2, missing=4)
    ' · 0:02:00 left'
    """
    if made <= 0 or missing <= 0:
        return ""
    seconds = (time.monotonic() - begin) / made * missing
    return f" · {timedelta(seconds=round(seconds))} left"


def with_progress(
    items: Iterable[Item], title: str, total: int, *, words: str = "", transient: bool = False
) -> Iterator[Item]:
    """Iterates over items under a progress bar; see `ProgressBar` for the arguments."""
    with ProgressBar(title, total, words=words, transient=transient) as bar:
        for item in items:
            yield item
            bar.advance()
