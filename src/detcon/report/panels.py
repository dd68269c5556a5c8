"""Panels of pictures, or notes where their data is missing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import ValidationError

from detcon.notes import counted

SIDE = 480
"""Longest side of the pictures on pages and sheets, in pixels."""


@dataclass(frozen=True)
class Picture:
    """One picture with its label."""

    address: str
    label: str
    alt: str


@dataclass(frozen=True)
class Panel:
    """Pictures in rows of `columns`, under one caption.

    `notes` say what could not be shown; `classes` is the legend: the colour of each class.
    """

    title: str = ""
    columns: int = 4
    pictures: tuple[Picture, ...] = ()
    caption: str = ""
    notes: tuple[str, ...] = ()
    classes: Mapping[str, str] = field(default_factory=dict)


def panel_or_note(make: Callable[..., Panel], *args: Any, what: str) -> Panel:
    """The panel, or a note why it can't be made: missing data, or data of another version."""
    try:
        return make(*args)
    except ValidationError as error:
        reason = f"the recipe doesn't fit this version of detcon ({error.errors()[0]['msg']})"
    except (OSError, ValueError) as error:
        reason = str(error)
    return Panel(notes=(f"The {what} cannot be shown: {reason.rstrip('.')}.",))


def some_keys(keys: Sequence[str], num: int) -> list[str]:
    """Up to `num` of the keys of photos, spread evenly."""
    places = np.linspace(0, len(keys) - 1, min(num, len(keys))).round().astype(int)
    return [str(keys[i]) for i in places]


def describe_generator(header: Mapping[str, Any]) -> str:
    """`felzenszwalb (scale 1000, min size 1000)`, as a store's header records it."""
    generator = dict(header.get("generator") or {})
    kind = str(generator.pop("kind", "")).replace("_", " ")
    settings = ", ".join(
        f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in generator.items()
        if value is not None
    )
    return f"{kind} ({settings})" if settings else kind


def regions_in_words(ids: Sequence[int], shared: int) -> str:
    """How many masks a view drew, and how many of them the other view drew too."""
    if not ids:
        return "no mask"
    return f"{counted(len(ids), 'mask')} sampled, {shared} of them in both views"
