"""What a person sees of a run: a progress bar on a terminal, now and then a line elsewhere."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

LINE_EVERY = 10  # logs


class ProgressReport:
    """Shows loss, images a second, time left and the share of waiting for data, on stderr.

    Args:
        title: What runs.
        step: Steps made so far.
        steps: Steps in all.
        show: False on all ranks but the first.
    """

    def __init__(self, title: str, *, step: int, steps: int, show: bool = True) -> None:
        self._title, self._first, self._steps = title, step, steps
        self._console = Console(stderr=True, quiet=not show)
        self._begin, self._logs = time.monotonic(), 0
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if show and self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                TextColumn("left"),
                console=self._console,
            )
            self._task = self._bar.add_task(title, total=steps, completed=step, figures="")

    def __enter__(self) -> "ProgressReport":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Takes the bar off the terminal for something that may have a bar of its own."""
        with ExitStack() as after:
            if self._bar is not None:
                self._bar.stop()
                after.callback(self._bar.start)
            yield

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def advance(self, step: int) -> None:
        """After each step."""
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def log(self, step: int, figures: dict[str, float]) -> None:
        """After each log: on the bar, or as a line after the first, every tenth and the last."""
        words = (
            f"loss {figures['loss']:.4g} · {figures['images_per_second']:.0f} images/s · "
            f"data wait {figures['data_wait']:.0%}"
        )
        if self._bar is not None:
            self._bar.update(self._task, figures=words)
        elif self._logs % LINE_EVERY == 0 or step == self._steps:
            spent = time.monotonic() - self._begin
            seconds = spent / max(1, step - self._first) * (self._steps - step)
            left = timedelta(seconds=round(seconds))
            self.say(f"{self._title} {step}/{self._steps} · {words} · {left} left")
        self._logs += 1
