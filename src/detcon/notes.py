"""Notes on what a command leaves out or assumes, for its user: sentences on stderr."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import parent_process

_changes: list[Callable[[str], str]] = []


@contextmanager
def reworded(change: Callable[[str], str]) -> Iterator[None]:
    """Within, sentences for the user are changed: those that are said, and those of errors.

    >>> with reworded(lambda sentence: sentence.replace("steps", "pretrain.steps")):
    ...     raise ValueError("give steps=3")
    Traceback (most recent call last):
    ValueError: give pretrain.steps=3
    """
    _changes.append(change)
    try:
        yield
    except ValueError as error:
        if len(error.args) == 1:  # others, as UnicodeError, are no sentences of ours
            error.args = (change(str(error)),)
        raise
    finally:
        _changes.pop()


def as_told(sentence: str) -> str:
    """A sentence as the user is told it: see `reworded`."""
    for change in reversed(_changes):
        sentence = change(sentence)
    return sentence


def say(sentence: str) -> None:
    """Prints a sentence on stderr, so that what a command prints itself can be piped."""
    print(as_told(sentence), file=sys.stderr)


@lru_cache(maxsize=4096)
def note(sentence: str) -> None:
    """Prints a sentence once in a run: not again, not in workers, and on the first rank only."""
    rank = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))
    if parent_process() is None and rank == "0":
        say(sentence)


def counted(number: int, noun: str) -> str:
    """A number and its noun: `1 photo`, `2 photos`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
