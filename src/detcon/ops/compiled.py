"""Loops compiled by numba, where numpy would need many passes. Never imports torch."""

import inspect
from collections.abc import Callable

import numba


def compiled(function: Callable) -> Callable:
    """Compiles a function at its first call with each set of types, and keeps it on the disk.

    The compiled code is kept next to the source or, if that folder can't be written, in the
    user's cache; failing both, each process compiles again. It keeps the order of every
    floating-point operation (no `fastmath`) and lets go of Python's lock.

    A compiled function may only call functions of the same file: a change in another file
    wouldn't be noticed in the stored code.
    """
    plain = inspect.unwrap(function)  # tests wrap it in type checks
    try:
        return numba.njit(plain, cache=True, nogil=True)
    except RuntimeError:  # no place to keep it
        return numba.njit(plain, nogil=True)
