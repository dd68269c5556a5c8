"""Tests for detcon.config: what a user can write, and what is said to the rest."""

import contextlib
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
import yaml
from hypothesis import given, strategies as st
from pydantic import Field

from detcon.config import (
    Recipe,
    RecipeError,
    field_names,
    fingerprint,
    load_recipe,
    parse_overrides,
    shipped_recipes,
    to_yaml,
)


class Lars(Recipe):
    kind: Literal["lars"] = "lars"
    lr: float = 0.2
    trust: float = 1e-3


class Sgd(Recipe):
    kind: Literal["sgd"] = "sgd"
    lr: float
    momentum: float = Field(default=0.9, ge=0, lt=1)


@dataclass(frozen=True)
class Grid:
    rows: int = 5
    kind: Literal["grid"] = "grid"


class Run(Recipe):
    out: str
    steps: int = Field(default=10, ge=1)
    workers: int = 2
    optimizer: Annotated[Lars | Sgd, Field(discriminator="kind")] = Sgd(lr=0.5, momentum=0.8)
    masks: Grid = Grid(rows=7)


def test_overrides_lie_over_the_file_and_the_file_over_the_defaults(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("out: a\noptimizer: {kind: lars, lr: 1e-1}\n")
    recipe = load_recipe(Run, path, {"optimizer.trust": 0.5, "steps": 3})
    assert recipe.optimizer == Lars(lr=0.1, trust=0.5) and recipe.steps == 3


def test_a_setting_inside_a_group_changes_the_fields_own_default():
    recipe = load_recipe(Run, None, {"out": "a", "optimizer.lr": 0.3})
    assert recipe.optimizer == Sgd(lr=0.3, momentum=0.8)
    assert load_recipe(Run, None, {"out": "a", "masks": {}}).masks == Grid(rows=7)


def test_another_kind_replaces_the_group(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("out: a\noptimizer: {kind: lars, lr: 0.1, trust: 0.3}\n")
    assert load_recipe(Run, path, {"optimizer": {"kind": "sgd", "lr": 1.0}}).optimizer == Sgd(
        lr=1.0, momentum=0.8
    )


def test_the_saved_recipe_is_complete_and_reads_back():
    recipe = load_recipe(Run, None, {"out": "a", "optimizer.momentum": 0.1})
    saved = yaml.safe_load(to_yaml(recipe))
    assert saved["optimizer"] == {"kind": "sgd", "lr": 0.5, "momentum": 0.1}
    assert load_recipe(Run, None, saved) == recipe


def test_fingerprints_depend_on_values_and_not_on_their_order():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


@pytest.mark.parametrize(
    "overrides, sentence",
    [
        ({"out": "a", "stepps": 3}, "there is no setting 'stepps'; did you mean 'steps'?"),
        ({"out": "a", "optimizer.momentun": 1}, "did you mean 'optimizer.momentum'?"),
        ({"out": "a", "momentum": 1}, "did you mean 'optimizer.momentum'?"),
        (
            {"out": "a", "masks.rowz": 1},
            "there is no setting 'masks.rowz'; did you mean 'masks.rows'",
        ),
        ({}, "'out' is missing; give out=..."),
        (
            {"out": "a", "steps": "many"},
            "'steps' cannot be 'many': input should be a valid integer",
        ),
        (
            {"out": "a", "steps": 0},
            "'steps' cannot be 0: input should be greater than or equal to 1",
        ),
        (
            {"out": "a", "optimizer.momentum": 2},
            "'optimizer.momentum' cannot be 2: input should be less",
        ),
        (
            {"out": "a", "optimizer.kind": "adam"},
            "'optimizer.kind' must be one of 'lars', 'sgd', got 'adam'",
        ),
        ({"out": "a", "steps": 1, "steps.many": 1}, "'steps' is a single value, not a group"),
        ({"out": "a", "steps": float("nan")}, "'steps' cannot be nan"),
    ],
)
def test_every_mistake_gets_its_sentence(overrides, sentence):
    with pytest.raises(RecipeError) as error:
        load_recipe(Run, None, overrides)
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_no_recipes(tmp_path):
    path = tmp_path / "r.yaml"
    for content, sentence in (
        ("a: [", "r.yaml is not a YAML recipe"),
        ("- 1", "must hold names and values, but holds a list"),
        ("just words", "must hold names and values, but holds a str"),
    ):
        path.write_text(content)
        with pytest.raises(RecipeError, match=sentence):
            load_recipe(Run, path)
    with pytest.raises(
        RecipeError,
        match=r"no recipe recipes/masks/felsenszwalb.yaml; did you mean 'recipes/masks/felzen",
    ):
        load_recipe(Run, "recipes/masks/felsenszwalb.yaml")


def test_words_of_the_command_line():
    assert parse_overrides(["a.b=1e-3", "c=[1, 2]", "d=none", "e=null", "f=", "g=x=y"]) == {
        "a.b": 0.001, "c": [1, 2], "d": "none", "e": None, "f": None, "g": "x=y",
    }  # fmt: skip
    with pytest.raises(RecipeError, match="cannot read 'steps'; write name=value"):
        parse_overrides(["steps"])
    with pytest.raises(RecipeError, match=r"value of 'a=\[' as YAML"):
        parse_overrides(["a=["])


@given(st.text(max_size=40))
def test_no_word_breaks_the_command_line(word):
    with contextlib.suppress(RecipeError):
        load_recipe(Run, None, {"out": "a", **parse_overrides([word])})


def test_shipped_recipes_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (shipped_recipes() / "masks" / "felzenszwalb.yaml").is_file()
    from detcon.masks.recipe import MasksRecipe

    assert (
        load_recipe(MasksRecipe, "recipes/masks/grid.yaml", {"images": "i", "out": "o"}).out == "o"
    )


def test_all_dotted_names():
    assert set(field_names(Run)) >= {
        "optimizer",
        "optimizer.trust",
        "optimizer.momentum",
        "masks.rows",
    }
