"""The ranges of sources' settings."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any


def check_ranges(settings: Any, shares: Sequence[str] = (), **least: int) -> None:
    """Raises a `ValueError` for a setting out of range; None is in range.

    Whole numbers of fields of type float become floats: 1 and 1.0 are one recipe.

    Args:
        settings: A source; changed in place.
        shares: Settings that are from 0 to 1.
        least: The least values of others, by name.
    """
    for name, bound in least.items():
        value = getattr(settings, name)
        if value is not None and not value >= bound:
            raise ValueError(f"{name} of {settings.kind} must be at least {bound}, got {value}")
    for name in shares:
        if not 0 <= (value := getattr(settings, name)) <= 1:
            raise ValueError(f"{name} of {settings.kind} must be from 0 to 1, got {value}")
    for one in fields(settings):
        if one.type is float:
            object.__setattr__(settings, one.name, float(getattr(settings, one.name)))
