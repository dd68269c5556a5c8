"""What a person sees of a run: a progress bar on a terminal, now and then a line elsewhere."""

import time
from contextlib import AbstractContextManager
from datetime import timedelta

from detcon.progress import ProgressBar

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
        self._begin, self._logs = time.monotonic(), 0
        self._bar = ProgressBar(title, steps, done=step, show=show)

    def __enter__(self) -> "ProgressReport":
        self._bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()

    def aside(self) -> AbstractContextManager[None]:
        """Takes the bar off the terminal for something that may have a bar of its own."""
        return self._bar.hidden()

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        self._bar.say(text)

    def advance(self, step: int) -> None:
        """After each step."""
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
            spent = time.monotonic() - self._begin
            seconds = spent / max(1, step - self._first) * (self._steps - step)
            left = timedelta(seconds=round(seconds))
            self.say(f"{self._title} {step}/{self._steps} · {words} · {left} left")
        self._logs += 1
