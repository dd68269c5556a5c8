"""What a person sees of a training: a progress bar on a terminal, now and then a line elsewhere."""

import time
from collections import deque
from contextlib import AbstractContextManager
from datetime import timedelta

from detcon.progress import ProgressBar

LINE_EVERY = 10  # logs
RECENT, ENOUGH = 100, 3  # steps whose pace tells the time left, and how many it takes


class TimeLeft:
    """The time that a training still takes, by the pace of its recent steps.

    The first step of a process doesn't count: it compiles, and starts the workers.

    Args:
        steps: Steps in all.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._ends: deque[tuple[int, float]] = deque(maxlen=RECENT + 1)  # steps made, and when

    def count(self, step: int) -> None:
        """After each step."""
        self._ends.append((step, time.monotonic()))

    def estimate(self) -> timedelta | None:
        """In whole seconds; None as long as too few steps were made."""
        if len(self._ends) <= ENOUGH:
            return None
        (before, begin), (made, now) = self._ends[0], self._ends[-1]
        return timedelta(seconds=round((now - begin) / (made - before) * (self._steps - made)))


class ProgressReport:
    """Shows loss, images a second, time left and the share of waiting for data, on stderr.

    Args:
        title: What runs.
        step: Steps made so far.
        steps: Steps in all.
        show: False on all ranks but the first.
    """

    def __init__(self, title: str, *, step: int, steps: int, show: bool = True) -> None:
        self._title, self._steps, self._logs = title, steps, 0
        self._left = TimeLeft(steps)
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
        self._left.count(step)
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
            left = self._left.estimate()
            words += f" · {left} left" if left else ""  # neither unknown nor nothing
            self.say(f"{self._title} {step}/{self._steps} · {words}")
        self._logs += 1
