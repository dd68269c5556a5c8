"""The base of all recipes."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator


class RecipeError(ValueError):
    """A recipe or override that can't be read, or has a wrong setting."""


class Recipe(BaseModel):
    """The base of all recipes: frozen, strict about names, saved as YAML.

    Attributes:
        shelf: The folder below `recipes/` with the shipped recipes of this kind; "" has none.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )
    shelf: ClassVar[str] = ""

    @classmethod
    def with_derived(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Adds values that follow from others and aren't given."""
        return values

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, values: Any) -> Any:
        return cls.with_derived(values) if isinstance(values, dict) else values


def _listed(value: Any) -> Any:
    if value is None:
        return ()
    return [word.strip() for word in value.split(",")] if isinstance(value, str) else value


Several = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""One or more paths: `a,b` on the command line, or a list; null is an empty one."""


def to_yaml(recipe: Recipe) -> str:
    """The complete recipe as YAML, in the order of its fields."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, width=100)


def fingerprint(values: Mapping[str, Any]) -> str:
    """A hash of settings: twelve hexadecimal digits, whatever their order.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
