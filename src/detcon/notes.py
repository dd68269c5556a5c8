"""Notes on what a command leaves out or assumes, for its user: sentences on stderr."""

import os
import sys
from functools import lru_cache
from multiprocessing import parent_process


def say(sentence: str) -> None:
    """Prints a sentence on stderr, so that what a command prints itself can be piped."""
    print(sentence, file=sys.stderr)


@lru_cache(maxsize=4096)
def note(sentence: str) -> None:
    """Prints a sentence once in a run: not again, not in workers, and on the first rank only."""
    rank = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))
    if parent_process() is None and rank == "0":
        say(sentence)


def counted(number: int, noun: str) -> str:
    """A number and its noun: `1 photo`, `2 photos`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
