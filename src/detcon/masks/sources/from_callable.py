"""Masks from a user's own function or class, given by its name."""

import json
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from functools import lru_cache, partial
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import UInt8

from detcon.config import find_named
from detcon.masks.masks import Masks

_SETTING = "generator.function"


@dataclass(frozen=True)
class FromCallable:
    """Calls a function for the masks of each photo.

    It is called with the photo, uint8 [y x 3], and returns `Masks`, ids [y x] of any integer type
    (negative: no mask), or bool [k y x] for masks that may overlap. A class is instantiated once
    in each process, with `options`, and the instance is called: use it for what is slow to load.
    Up to four workers are threads, which call it at the same time; give workers=1 if it is not
    thread-safe. It must give the same masks for the same photo, so that a store is reproducible.

    A store records its name, options and version, but not its code. Change `version` whenever the
    code changes; otherwise a store may hold masks of the old and of the new code.

    Args:
        function: "package.module:name", as Python imports it. In Python, `make_masks` also takes
            the function itself, or a `functools.partial` of it.
        options: Keyword arguments of the function, or of the class when it is instantiated.
        version: A version of your own, recorded in the store.
    """

    function: str
    options: dict[str, Any] | None = None
    version: str | None = None
    kind: Literal["callable"] = "callable"
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        try:
            json.dumps(self.options)
        except TypeError as error:
            raise ValueError(
                f"the options of {self.function} must be numbers, texts and lists of them, since "
                f"a store records them as JSON: {error}"
            ) from error
        if not callable(find_named(self.function, _SETTING)):
            raise ValueError(f"{_SETTING}={self.function} is no function or class; give one")

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        """Calls the function."""
        function = _ready(self.function, json.dumps(self.options or {}))
        try:
            found = function(image.copy())  # which it may write to
        except Exception as error:
            raise ValueError(
                f"{self.function} failed: {type(error).__name__}: {error} (--debug shows where)"
            ) from error
        return _as_masks(found, (image.shape[0], image.shape[1]), self.function)


def by_name(function: Any) -> Any:
    """`FromCallable` for a function or a partial of one; anything else is returned unchanged.

    Raises a `ValueError` for what has no name to import: a lambda, a function inside a function.
    """
    if not callable(function) or is_dataclass(function):
        return function
    options = {}
    if isinstance(function, partial):
        if function.args:
            raise ValueError(
                f"{function} has positional arguments, but a store records arguments by name; "
                f"give them as keywords"
            )
        function, options = function.func, dict(function.keywords)
    name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    try:
        named = find_named(name, _SETTING)
    except ValueError:
        named = None
    if named is not function:
        raise ValueError(
            f"{function} can't be imported by its name, as workers do; define it at the top level "
            f"of a module, and give options with functools.partial"
        )
    return FromCallable(name, options or None)


@lru_cache(maxsize=4)
def _ready(address: str, options: str) -> Callable[..., Any]:
    found, given = find_named(address, _SETTING), json.loads(options)
    if not isinstance(found, type):
        return partial(found, **given)
    try:
        return found(**given)
    except Exception as error:
        raise ValueError(
            f"cannot create {address} with the options {given}: {type(error).__name__}: {error}"
        ) from error


def _as_masks(found: Any, size: tuple[int, int], name: str) -> Masks:
    if isinstance(found, Masks):
        if found.size == size:
            return found
        got = f"Masks of a photo of {found.size[0]} x {found.size[1]}"
    elif isinstance(found, np.ndarray):
        if found.dtype.kind in "iu" and found.shape == size:
            return Masks.from_labels(found)
        if found.dtype == bool and found.ndim == 3 and found.shape[1:] == size:
            kept = found[found.any((1, 2))]
            return Masks.from_stack(kept) if len(kept) else Masks.from_labels(np.full(size, -1))
        got = f"{found.dtype} [{' '.join(map(str, found.shape))}]"
    else:
        got = f"a {type(found).__name__}"
    raise ValueError(
        f"{name} returned {got} for a photo of {size[0]} x {size[1]} pixels; it should return "
        f"Masks, a NumPy array of integer ids [y x], or one of bool [k y x]"
    )
