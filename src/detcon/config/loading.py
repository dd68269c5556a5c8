"""Loading a recipe: a file, overrides and defaults become one complete record."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from detcon.config.hints import (
    below,
    default_of,
    differing,
    fields_of,
    is_record,
    is_required,
    kind_of,
    records_within,
    shown,
)
from detcon.config.recipe import Recipe, RecipeError, sentence, setting_at
from detcon.config.shipped import find_recipe
from detcon.config.values import Plain, as_group, is_mapping, parse_yaml, read, text_of, untyped
from detcon.files import read_text

R = TypeVar("R", bound=Recipe)
_RECORDED = {"recorded": True}
_LONGEST = 60  # characters of a value that is no text


def load_recipe(
    model: type[R],
    recipe: str | Path | Recipe | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    part: str = "",
) -> R:
    """Loads a recipe: the file, with overrides laid over it, validated.

    Args:
        model: The kind of recipe.
        recipe: A YAML file, a shipped recipe by its path or bare name, a recipe that was loaded
            before, or None for the defaults.
        overrides: Values by dotted name, `{"optimizer.lr": 0.3}`. A longer name wins over a
            shorter one. A mapping is laid over the mapping below it, unless it names another
            `kind`: that replaces it whole. The name of a kind stands for the mapping.
        part: The setting of another recipe that holds the overrides, for messages.

    Returns:
        The complete recipe.

    Raises:
        RecipeError: One sentence for everything that is wrong: an unknown name (with the nearest
            one), a value of the wrong type or out of range, a file that is no YAML mapping. The
            file is named for what is wrong without the overrides too.
    """
    if type(recipe) is model and not overrides:
        return recipe
    source = find_recipe(recipe, model.shelf) if isinstance(recipe, str | Path) else recipe
    values = _given(model, source, overrides or {}, part)
    try:
        return _validated(model, values, part)
    except ValidationError as error:
        is_file = isinstance(source, Path)
        own = _wrong_in(source, model, overrides or {}, part) if is_file else set()
        told = [sentence(model, one, part) for one in error.errors()]
        told = [f"{one} in {recipe}" if one in own else one for one in told]
        raise RecipeError("; ".join(dict.fromkeys(told))) from error


def load_unfinished(
    model: type[R], recipe: str | Path | None, overrides: Mapping[str, Any], *, missing: str
) -> R:
    """Loads a recipe as `load_recipe` does; what must be given and isn't holds the text `missing`.

    Raises:
        RecipeError: As `load_recipe`, or a setting that is missing is no text.
    """
    path = None if recipe is None else find_recipe(recipe, model.shelf)
    values = _given(model, path, overrides, "")
    while True:
        try:
            return _validated(model, values, "")
        except ValidationError as error:
            told = error.errors()
            if any(one["type"] != "missing" for one in told):
                sentences = dict.fromkeys(sentence(model, one) for one in told)
                raise RecipeError("; ".join(sentences)) from error
            for one in told:
                name = setting_at(model, one["loc"])
                _lay_over(values, [model], name.split("."), missing, name)


def _given(
    model: type[R], recipe: Path | Recipe | None, overrides: Mapping[str, Any], part: str
) -> dict[str, Any]:
    """The values of a recipe or its file, with the overrides laid over them."""
    values = _read_file(recipe) if isinstance(recipe, Path) else {}
    if isinstance(recipe, Recipe):
        values = recipe.model_dump(mode="json")
    for name, value in sorted(overrides.items(), key=lambda pair: pair[0].count(".")):
        typed = f"{part}.{name}" if part else name
        _lay_over(values, [model], name.split("."), untyped(value), typed)
    return values


def _validated(model: type[R], values: dict[str, Any], part: str) -> R:
    values = read(values, [model], part)
    # first what follows from what is given: defaults of a group would look as if given
    return model.model_validate(_over_defaults(model, model.with_derived(values)))


def _wrong_in(path: Path, model: type[Recipe], overrides: Mapping[str, Any], part: str) -> set[str]:
    """What is wrong in a file itself: with those overrides alone that it must leave to be given."""
    values = _read_file(path)
    missing = {name for name in fields_of(model) if is_required(model, name)} - values.keys()
    values |= {name: untyped(overrides[name]) for name in missing & overrides.keys()}
    try:
        _validated(model, values, part)
    except ValidationError as error:
        wrong = [one for one in error.errors() if not missing.intersection(one["loc"][:1])]
        return {sentence(model, one, part) for one in wrong}
    except RecipeError:  # of a value that an override replaced
        pass
    return set()


def changes(settings: Recipe) -> list[str]:
    """The fewest words `name=value` that make this recipe again; long lists are cut.

    Settings that follow from others are left out: a ResNet-18 has its own `encoder.zero_init`.
    """
    model = type(settings)
    words = differing(settings, None)
    words |= differing(settings, _load(model, words))  # set back to a default that no longer holds
    for name in list(words):
        fewer = {other: value for other, value in words.items() if other != name}
        if _load(model, fewer) == settings:
            words = fewer
    return [
        f"{name}={_short(one)}"
        for whole, value in words.items()
        for name, one in _flat(whole, value)
    ]


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The settings of a mapping by their dotted names; any other value by its own."""
    if not isinstance(value, dict) or not value:
        yield name, value
        return
    for inner, one in value.items():
        yield from _flat(f"{name}.{inner}", one)


def _load(model: type[R], overrides: Mapping[str, Any]) -> R | None:
    try:
        return load_recipe(model, None, overrides)
    except RecipeError:
        return None


def _short(value: Any) -> str:
    text = shown(value)
    is_whole = isinstance(value, str) or len(text) <= _LONGEST
    return text if is_whole else f"{text[: _LONGEST - 1]}…"


def recorded(model: type[R], values: Any) -> R:
    """Validates a recipe that this version or an earlier one saved.

    Raises:
        ValidationError: No version saves such a recipe.
    """
    return model.model_validate(values, context=_RECORDED)


def is_recorded(info: Any) -> bool:
    """Whether a validator, given pydantic's information, was called by `recorded`."""
    return info.context == _RECORDED


def parse_overrides(words: Iterable[str]) -> dict[str, Any]:
    """Turns `["optimizer.lr=0.3", "masks=none"]` into values by dotted name, for `load_recipe`.

    If a name is given several times, the last one counts, so that scripts may append words.

    Raises:
        RecipeError: A word without `=`.
    """
    overrides: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise RecipeError(f"cannot read '{word}'; write name=value, as in optimizer.lr=0.3")
        overrides[name] = Plain(text)
    return overrides


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = parse_yaml(read_text(path))
    except ValueError as error:
        raise RecipeError(f"{path} is not a YAML recipe: {' '.join(str(error).split())}") from error
    if values is None or values == Plain(""):
        return {}
    if not isinstance(values, dict):
        kind = type(text_of(values)).__name__
        raise RecipeError(f"{path} must hold names and values, but holds a {kind}")
    return values


def _lay_over(
    values: dict[str, Any], hints: Iterable[Any], path: list[str], value: Any, name: str
) -> None:
    """Sets the value at a path within `values`; `hints` are those of the group."""
    first, *rest = path
    inner = below(hints, first)
    old = as_group(values.get(first), inner, first)
    if rest:
        if old is None or old == Plain("null") or not any(map(is_mapping, inner)):
            old = {}  # where there can't be a group, the model says so, and what to give
        if not isinstance(old, dict):
            raise RecipeError(f"cannot set '{name}': '{first}' is a single value, not a group")
        values[first] = old
        _lay_over(old, inner, rest, value, name)
        return
    value = as_group(value, inner, name)
    if isinstance(value, dict) and isinstance(old, dict) and not _is_another(value, old):
        for setting, one in value.items():
            _lay_over(old, inner, [setting], one, f"{name}.{setting}")
        values[first] = old
    else:
        values[first] = value


def _is_another(value: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether a mapping names another `kind` than the one that it is laid over."""
    kind = text_of(value.get("kind"))
    return kind is not None and kind != text_of(old.get("kind"))


def _over_defaults(model: Any, values: dict[str, Any], usual: Any = None) -> dict[str, Any]:
    """Fills groups that are given in part from the defaults of their setting.

    Pydantic would start from the defaults of the group's class, and would want the `kind` again:
    `optimizer.lr=0.3` must mean the default optimiser, with another rate.

    `usual` is the recipe that is changed, if it isn't the class's defaults.
    """
    whole = dict(values)
    for name, given in values.items():
        records = records_within(fields_of(model).get(name))
        if not isinstance(given, dict) or not records:
            continue
        default = default_of(model, name, usual)
        kind = given.get("kind", getattr(default, "kind", None))
        if is_record(type(default)) and kind == getattr(default, "kind", None):
            record, base = type(default), _as_mapping(default)
        else:
            of_kind = [one for one in records if kind and kind_of(one) == kind]
            record = next(iter(records if len(records) == 1 else of_kind), None)
            default, base = None, {}
        if record is not None and issubclass(record, Recipe):
            given = _over_defaults(record, record.with_derived(given), default)
        whole[name] = {**base, **given}
    return whole


def _as_mapping(record: Any) -> dict[str, Any]:
    if isinstance(record, BaseModel):
        return record.model_dump(mode="json")
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
