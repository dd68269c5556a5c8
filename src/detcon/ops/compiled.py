"""Loops compiled by numba, where numpy would need many passes. Never imports torch."""

import inspect
from collections.abc import Callable
from typing import Any

import numba
from numba.core.event import Event, Listener, register

from detcon.notes import note


def compiled(function: Callable) -> Callable:
    """Compiles a function at its first call with each set of types, and keeps it on the disk.

    The compiled code is kept next to the source or, if that folder can't be written, in the
    user's cache; failing both, each process compiles again. It keeps the order of every
    floating-point operation (no `fastmath`) and lets go of Python's lock. The user is told when it
    has to be made.

    A compiled function may only call functions of the same file: a change in another file
    wouldn't be noticed in the stored code.
    """
    plain = inspect.unwrap(function)  # tests wrap it in type checks
    try:
        return numba.njit(plain, cache=True, nogil=True)
    except RuntimeError:  # no place to keep it
        return numba.njit(plain, nogil=True)


class _Teller(Listener):
    """Says that loops are compiled, which a cache would have spared."""

    def on_start(self, event: Event) -> None:
        data: Any = event.data
        found = data["dispatcher"]
        if found.py_func.__module__.startswith("detcon."):
            is_kept = found.stats.cache_path is not None
            kept = "and keeping them" if is_kept else "since no cache folder can be written"
            note(f"compiling loops over pixels that this command needs, {kept}: about ten seconds")

    def on_end(self, event: Event) -> None:
        pass


register("numba:compile", _Teller())
