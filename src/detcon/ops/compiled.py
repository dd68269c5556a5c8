"""Loops compiled by numba, for what numpy would do in ten passes. Never imports torch."""

import inspect
from collections.abc import Callable

import numba


def compiled(function: Callable) -> Callable:
    """Compiles a function at its first call with each set of types, and keeps it on the disk.

    The compiled code lies beside the source or, where that folder can't be written, in the
    user's cache; where neither can be, each process compiles anew. It keeps the order of every
    floating-point operation (no `fastmath`) and lets go of Python's lock.

    A compiled function may call those of its own file only: a change in another file wouldn't be
    noticed in what is kept.
    """
    plain = inspect.unwrap(function)  # tests put checks of types around it
    try:
        return numba.njit(plain, cache=True, nogil=True)
    except RuntimeError:  # no place to keep it
        return numba.njit(plain, nogil=True)
