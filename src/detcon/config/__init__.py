"""Recipes: the settings of a command, as frozen records.

A recipe is a YAML file, or the defaults. Overrides are `name=value` on the command line and
keywords in Python. Both become one frozen pydantic model, which is defined next to the code that it
configures. Each mistake becomes one sentence.
"""

from detcon.config.hints import field_names, fields_of, kind_of, records_within, shown
from detcon.config.loading import (
    changes,
    is_recorded,
    load_recipe,
    load_unfinished,
    parse_overrides,
    recorded,
)
from detcon.config.named import find_named
from detcon.config.parts import fixed_part, in_part
from detcon.config.recipe import (
    Recipe,
    RecipeError,
    Several,
    fingerprint,
    nearest,
    split_list,
    to_yaml,
)
from detcon.config.shipped import ShippedRecipe, head_of, recipes_for, shipped_recipes

__all__ = [
    "Recipe", "RecipeError", "Several", "ShippedRecipe", "changes", "field_names", "fields_of",
    "find_named", "fingerprint", "fixed_part", "head_of", "in_part", "is_recorded", "kind_of",
    "load_recipe", "load_unfinished", "nearest", "parse_overrides", "recipes_for", "recorded",
    "records_within", "shipped_recipes", "shown", "split_list", "to_yaml",
]  # fmt: skip
