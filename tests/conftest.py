"""Drawn examples are the same in every run: a test that fails is one that was changed.

With HYPOTHESIS_PROFILE=search each run draws others, to look for what nobody thought of.
"""

import gc
import os
from functools import partial
from inspect import isclass, unwrap
from typing import get_args

os.environ["OMP_NUM_THREADS"] = "1"  # sums of one order in all processes of a test; before torch

import jaxtyping
from hypothesis import settings


def takes_arrays(hint):
    """Whether a shape is said anywhere in an annotation."""
    parts = hint if isinstance(hint, list) else get_args(hint)
    found = isclass(hint) and issubclass(hint, jaxtyping.AbstractArray)
    return found or any(map(takes_arrays, parts))


def check_arrays(found, typechecker, check=jaxtyping.jaxtyped):
    """Checks shapes wherever a signature has one; what has none is left as it is.

    A check costs tens of µs a call, and settings make millions; other types are pyright's.
    """
    function = getattr(found, "fget", None) or getattr(found, "__func__", found)
    hints = getattr(unwrap(function), "__annotations__", {}).values()
    return check(found, typechecker=typechecker) if any(map(takes_arrays, hints)) else found


# the decorator that the import hook (`--jaxtyping-packages`) gives to each function and class
jaxtyping.jaxtyped = lambda typechecker: partial(check_arrays, typechecker=typechecker)

gc.set_threshold(100_000, 50, 100)  # looking for cycles took a fifth of the time of some files
os.fsync = lambda descriptor: None  # no test cuts the power, and a sync takes 2 ms

settings.register_profile("same", derandomize=True)
settings.register_profile("search", max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
