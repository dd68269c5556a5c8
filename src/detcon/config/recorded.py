"""Recipes that were saved on disk, perhaps by an earlier version."""

from typing import Any, TypeVar

from detcon.config.recipe import Recipe

R = TypeVar("R", bound=Recipe)
_CONTEXT = {"recorded": True}


def recorded(model: type[R], values: Any) -> R:
    """Validates a recipe that was saved on disk, in the form of today or of an earlier version.

    Raises:
        ValidationError: Neither this version nor an earlier one wrote this.
    """
    return model.model_validate(values, context=_CONTEXT)


def is_recorded(info: Any) -> bool:
    """Whether a validator, given pydantic's information, was called by `recorded`."""
    return info.context == _CONTEXT
