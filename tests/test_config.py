"""Tests for detcon.config: what a user can write, and what is said to the rest."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given, settings, strategies as st
from pydantic import Field, field_validator, model_validator

from detcon.config import (
    Recipe,
    RecipeError,
    Several,
    changes,
    field_names,
    fingerprint,
    load_recipe,
    parse_overrides,
    recipes_for,
    shipped,
    shipped_recipes,
    to_yaml,
    values,
)
from detcon.config.parts import fixed_part, renamed


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


class Step(Recipe):
    kind: Literal["step"] = "step"
    steps: int = 3


class Run(Recipe):
    out: str
    steps: int = Field(default=10, ge=1)
    workers: int = 2
    optimizer: Annotated[Lars | Sgd, Field(discriminator="kind")] = Sgd(lr=0.5, momentum=0.8)
    masks: Grid = Grid(rows=7)
    note: str | None = None
    switch: bool = True
    mode: bool | Literal["auto"] = "auto"
    level: Literal[8, 16] | None = None
    word: Literal["bf16", "32"] = "bf16"
    names: Several = ()
    pair: tuple[int, int] = (1, 2)
    amounts: tuple[int | str, ...] = ()
    anything: Any = None
    table: dict[str, int] = Field(default={})
    optional: Lars | None = None
    schedule: Annotated[Step | Lars, Field(discriminator="kind")] = Step()
    both: Literal["a"] | tuple[Lars, Lars] = "a"


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
        (
            {"out": "a", "schedule.step": 1},
            "there is no setting 'schedule.step'; did you mean 'schedule.steps'?",
        ),
        (
            {"out": "a", "optimizer.sgd": 1},
            "there is no setting 'optimizer.sgd'; known: optimizer.kind, optimizer.lr, optim",
        ),
        ({"out": "a", "mode": "maybe"}, "'mode' cannot be 'maybe': input should be 'auto'"),
        ({"out": "a", "pair": [3]}, "'pair' cannot be [3]: it needs more values"),
        ({"out": "a", "pair": [3, "b"]}, "'pair' cannot be 'b': input should be a valid integer"),
        (
            {"out": "a", "both": [{"lr": 1}, {"lrr": 1}]},
            "there is no setting 'both.1.lrr'; did you mean 'both.1.lr'?",
        ),
        (
            {"out": "a", "steps": 1, "steps.many": 1},
            "'steps' cannot be {'many': 1}: input should be",
        ),
        ({"out": "a", "masks": 1, "masks.rows": 1}, "'masks' is a single value, not a group"),
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
        (
            "out: a\nsteps: 1\n'steps': 2\n",
            "r.yaml is not a YAML recipe: line 3 gives 'steps' again",
        ),
        ("out: a\noptimizer: {lr: 1, lr: 2}\n", "line 2 gives 'lr' again; remove one of the two"),
    ):
        path.write_text(content)
        with pytest.raises(RecipeError, match=sentence):
            load_recipe(Run, path)
    with pytest.raises(
        RecipeError,
        match=r"no recipe recipes/masks/felsenszwalb.yaml; did you mean 'recipes/masks/felzen",
    ):
        load_recipe(Run, "recipes/masks/felsenszwalb.yaml")


@pytest.mark.parametrize(
    ("content", "given", "said"),
    [
        ("steps: 3", {"stepps": 4}, "there is no setting 'stepps'; did you mean 'steps'?"),
        (
            "steps: 3",
            {"steps": 0},
            "'steps' cannot be 0: input should be greater than or equal to 1",
        ),
        (
            "steps: 0",
            {"steps": -1},
            "'steps' cannot be -1: input should be greater than or equal to",
        ),
        ("steps: 3", {"out": 3}, "'out' cannot be 3: input should be a valid string"),
        ("optimizer: {lrr: 3}", {"optimizer.lr": 2}, "did you mean 'optimizer.lr'? in FILE"),
        ("steps: 0", {"optimizer.lr": 2}, "input should be greater than or equal to 1 in FILE"),
        ("steps: 0", {"pair": [3]}, "to 1 in FILE; 'pair' cannot be [3]: it needs more values"),
        ("even: 3", {"steps": 2}, "'even' cannot be 3: give an even number in FILE"),
        (
            "part: {}",
            {},
            "'out' is missing; give out=...; 'part.size' is missing; give part.size=... in F",
        ),
        ("steps: 6", {"pair": [3, 5]}, "'pair' goes to 5, and that is no part of steps=6"),
        ("steps: 6\npair: [3, 5]", {}, "'pair' goes to 5, and that is no part of steps=6 in FILE"),
    ],
)
def test_a_file_is_named_for_what_stands_in_it(content, given, said, tmp_path):
    """And not for what was typed, or is missing in both."""

    class Part(Recipe):
        size: int

    class Own(Run):
        even: int = 2
        part: Part | None = None

        @field_validator("even")
        @classmethod
        def _is_even(cls, value):
            if value % 2:
                raise ValueError("give an even number")
            return value

        @model_validator(mode="after")
        def _divides(self):
            if self.pair[1] == 5:
                raise ValueError(f"'pair' goes to 5, and that is no part of steps={self.steps}")
            return self

    path = tmp_path / "r.yaml"
    path.write_text(content)
    out = {} if "part" in content else {"out": "a"}
    with pytest.raises(RecipeError) as error:
        load_recipe(Own, path, out | given)
    text = str(error.value).replace(str(path), "FILE")
    assert said in text and text.count("FILE") == said.count(" in F")


def test_words_of_the_command_line():
    recipe = written("steps=1e2", "optimizer.lr=1e-3", "out=x=y", "pair=[3, 4]", "names=a, b")
    assert (recipe.steps, recipe.optimizer.lr, recipe.out) == (100, 0.001, "x=y")
    assert recipe.pair == (3, 4) and recipe.names == ("a", "b")
    with pytest.raises(RecipeError, match="cannot read 'steps'; write name=value"):
        parse_overrides(["steps"])
    assert written("steps=3", "pair=3,4", "steps=4").steps == 4
    with pytest.raises(RecipeError, match="optimizer={lr: 1, lr: 2}' as YAML: line 1 gives 'lr' a"):
        written("optimizer={lr: 1, lr: 2}")
    with pytest.raises(RecipeError, match=r"value of 'pair=\[' as YAML"):
        written("pair=[")


@given(st.text(max_size=40))
def test_no_word_breaks_the_command_line(word):
    with contextlib.suppress(RecipeError):
        load_recipe(Run, None, {"out": "a", **parse_overrides([word])})


def written(*words):
    """A recipe from words of the command line."""
    return load_recipe(Run, None, {"out": "a", **parse_overrides(words)})


TEXTS = st.text(min_size=1, max_size=40) | st.sampled_from(
    ["photos #2", "2024-05-17", "no", "1e3", "123456e78901", "null", "~", "[a, b]", "{a: b}", "'a'"]
)


@settings(deadline=None)
@given(TEXTS)
def test_text_stays_text(text):
    assert written(f"out={text}").out == text
    saved = yaml.safe_dump({"out": text})
    assert load_recipe(Run, None, values.parse_yaml(saved)).out == text
    if text not in ("null", "Null", "NULL", "~"):
        assert written(f"note={text}").note == text


@settings(deadline=None)
@given(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back(whole, real):
    assert written(f"anything={whole}").anything == whole
    assert written(f"optimizer.lr={real}").optimizer.lr == real
    assert written(f"anything={real!r}").anything == real


@pytest.mark.parametrize(
    "word, expected",
    [
        ("out=photos #2", "photos #2"),
        ("out=2024-05-17", "2024-05-17"),
        ("out=no", "no"),
        ("out=1e3", "1e3"),
        ("out=007", "007"),
        ("out=null", "null"),
        ("out=[a, b]", "[a, b]"),
        ("note=null", None),
        ("note=", None),
        ("note=true", "true"),
        ("switch=no", False),
        ("switch=True", True),
        ("mode=auto", "auto"),
        ("mode=yes", True),
        ("level=16", 16),
        ("word=32", "32"),
        ("names=null", ()),
        ("names=", ()),
        ('names=["a,b", c]', ("a,b", "c")),
        ("names=[null, 1e3]", ("null", "1e3")),
        ("pair=3,4", (3, 4)),
        ("amounts=50, all", (50, "all")),
        ("anything=1e-3", 0.001),
        ("anything=no", "no"),
        ("anything=2024-05-17", "2024-05-17"),
        ("anything=[1, null, 'a: b', {c: 1}]", [1, None, "a: b", {"c": 1}]),
        ("table.a-b=3", {"a-b": 3}),
        ("optimizer=lars", Lars()),
        ("optimizer={kind: lars, lr: 1e-1}", Lars(lr=0.1)),
        ("masks={rows: 3}", Grid(rows=3)),
    ],
)
def test_a_value_is_read_by_the_type_of_its_setting(word, expected, tmp_path):
    name = word.partition("=")[0].partition(".")[0]
    value = getattr(written(word), name)
    assert value == expected and type(value) is type(expected)


def test_values_of_files_are_read_by_type_too(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "out: 2024-05-17\nnote: no\nsteps: 1e2\nswitch: on\nword: 32\nnames: [1.0, no, 'null']\n"
        "table: {yes: 1}\noptimizer: {kind: lars, lr: 1e-1}\n"
    )
    recipe = load_recipe(Run, path)
    assert (recipe.out, recipe.note, recipe.steps, recipe.switch) == ("2024-05-17", "no", 100, True)
    assert recipe.word == "32" and recipe.names == ("1.0", "no", "null")
    assert recipe.table == {"yes": 1} and recipe.optimizer == Lars(lr=0.1)
    path.write_text("out:\n")
    with pytest.raises(RecipeError, match="'out' cannot be empty or null"):
        load_recipe(Run, path)
    path.write_text("base: &a {kind: lars, lr: 3}\n<<: {out: x}\noptimizer: *a\n")
    with pytest.raises(RecipeError, match="no setting 'base'"):
        load_recipe(Run, path)
    path.write_text("out: &a [*a]\n")
    with pytest.raises(RecipeError, match=r"r\.yaml is not a YAML recipe: .*contains itself"):
        load_recipe(Run, path)


def test_values_of_python_keep_their_types():
    assert load_recipe(Run, None, {"out": "a", "note": "null"}).note == "null"
    assert load_recipe(Run, None, {"out": "a", "anything": "1e3"}).anything == "1e3"
    with pytest.raises(RecipeError, match="'out' cannot be 1000"):
        load_recipe(Run, None, {"out": 1000})


def test_a_loaded_recipe_is_not_read_again():
    recipe = written("steps=3")
    assert load_recipe(Run, recipe) is recipe
    assert load_recipe(Run, recipe, {"optimizer.lr": 0.1}).optimizer == Sgd(lr=0.1, momentum=0.8)


def test_longer_names_win_over_shorter_ones():
    assert written("optimizer.trust=3", "optimizer=lars").optimizer == Lars(trust=3)
    assert written("optional.lr=3").optional == Lars(lr=3)


def test_what_differs_from_the_defaults_can_be_given_again():
    words = [
        "steps=3",
        "optimizer.kind=lars",
        "optimizer.lr=0.5",
        "pair=3,4",
        "note=x",
        "masks.rows=2",
    ]
    recipe = written(*words)
    assert set(changes(recipe)) == {"out=a", *words}
    assert written(*changes(recipe)) == recipe
    assert changes(written(f"names={'abc,' * 30}z"))[1].endswith("…")


def test_settings_of_parts_are_shown_as_they_are_given():
    from detcon.adapting.recipe import AdaptRecipe

    words = ["images=i", "out=o", "weights.source=w", "transfer.task.steps=3", "pretrain.steps=2"]
    settings = load_recipe(AdaptRecipe, None, parse_overrides(words))
    assert set(changes(settings)) == set(words)
    assert load_recipe(AdaptRecipe, None, parse_overrides(changes(settings))) == settings


def test_all_among_amounts_is_shown_as_it_is_given():
    from detcon.adapting.recipe import AdaptRecipe
    from detcon.downstream.recipe import GridRecipe

    given = parse_overrides(["out=o", "data=d", "labels=20,all"])
    for model, own in ((GridRecipe, ["backbone"]), (AdaptRecipe, ["images", "weights"])):
        settings = load_recipe(model, None, given | dict.fromkeys(own, "x"))
        assert "labels=20,all" in changes(settings)
        again = load_recipe(model, None, parse_overrides(changes(settings)))
        assert again == settings and settings.labels == (20, None)


def test_what_follows_from_other_settings_does_not_differ_from_the_defaults():
    from detcon.models.recipe import EncoderRecipe
    from detcon.pretraining.recipe import PretrainRecipe

    def said(**given):
        return changes(load_recipe(PretrainRecipe, None, {"images": "i", "out": "o", **given}))

    assert said(**{"encoder.name": "resnet18"}) == ["images=i", "out=o", "encoder.name=resnet18"]
    chosen = said(encoder=EncoderRecipe(name="resnet18", zero_init=True))
    assert chosen[2:] == ["encoder.name=resnet18", "encoder.zero_init=true"]
    assert said(method="detcon_b")[2:] == ["method.kind=detcon_b"]


def test_a_path_with_commas_is_one_path(tmp_path, monkeypatch):
    """`masks="m, v1"` looked for the stores m and v1, and backbone= did in Python too."""
    from detcon.downstream.recipe import GridRecipe
    from detcon.report.recipe import ShowRecipe

    monkeypatch.chdir(tmp_path)
    for name in ("m, v1", "lr=0.1,seed=1", "a"):
        Path(name).mkdir()

    def masks(word):
        return load_recipe(ShowRecipe, None, {"images": "p", **parse_overrides([word])}).masks

    def backbones(value):
        given = {"task": "linear_segmentation", "data": "d", "out": "o", "backbone": value}
        return load_recipe(GridRecipe, None, given).backbones

    assert masks("masks=m, v1") == ("m, v1",) and masks("masks=['m, v1', b]") == ("m, v1", "b")
    assert masks("masks=a,b") == ("a", "b")
    assert backbones("lr=0.1,seed=1") == backbones(Path("lr=0.1,seed=1")) == ("lr=0.1,seed=1",)
    assert backbones(["lr=0.1,seed=1", "random"]) == ("lr=0.1,seed=1", "random")
    for name in ("b", "a,b"):
        Path(name).mkdir()
    with pytest.raises(
        RecipeError, match=r"'a,b' is one path and also a list of 2; write \['a,b'\]"
    ):
        masks("masks=a,b")
    assert masks("masks=[a, b]") == ("a", "b") and masks("masks=['a,b']") == ("a,b",)


def test_a_bare_name_is_a_shipped_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("grid.yaml", "other.yaml"):
        for shelf in ("masks", "pretrain"):
            if (shelf, name) != ("pretrain", "other.yaml"):
                (tmp_path / "recipes" / shelf).mkdir(parents=True, exist_ok=True)
                (tmp_path / "recipes" / shelf / name).write_text("# For tests.\nsteps: 3\n")
    monkeypatch.setattr(shipped, "shipped_recipes", lambda: tmp_path / "recipes")
    find = shipped.find_recipe
    assert find("grid", "masks") == tmp_path / "recipes/masks/grid.yaml"
    assert find("other.yaml", "pretrain").parent.name == "masks"
    assert [(one.name, one.title) for one in recipes_for("pretrain")] == [("grid", "For tests.")]
    with pytest.raises(RecipeError, match=r"recipes/masks/grid.yaml and recipes/pretrain/grid.y"):
        find("grid")
    with pytest.raises(RecipeError, match="no recipe gird; did you mean 'grid'"):
        find("gird", "masks")
    (tmp_path / "grid").write_text("steps: 2")
    assert find("grid", "masks").resolve() == tmp_path / "grid"


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


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("give size=3 or optimizer.lr=0.1", "give part.size=3 or part.optimizer.lr=0.1"),
        ("check optimizer.lr, optimizer.lr.", "check part.optimizer.lr, part.optimizer.lr."),
        ("the size of runs/size=3, of its size", "the size of runs/size=3, of its size"),
        ("'detcon masks size=3', then size=4", "'detcon masks size=3', then part.size=4"),
        ("give size=3 after: detcon masks size=3", "give part.size=3 after: detcon masks size=3"),
        ("part.size=3 and other.size=3, lr=1", "part.size=3 and other.size=3, lr=1"),
    ],
)
def test_settings_of_a_part_are_named_as_they_are_typed(sentence, told):
    class Optimizer(Recipe):
        lr: float = 0.1

    class Part(Recipe):
        size: int = 1
        optimizer: Optimizer = Optimizer()

    assert renamed(sentence, Part, "part.{}".format) == told


def test_advice_on_settings_that_cannot_be_given_says_where_they_can():
    class Part(Recipe):
        out: str = ""
        workers: int = 1

    for sentence, end in (("give another out=", ""), ("give workers=2", "; of detcon part")):
        told = pytest.raises(ValueError, match=f"^{sentence}{end}$")
        with told, fixed_part(Part, ("out",), "of detcon part"):
            raise ValueError(sentence)
