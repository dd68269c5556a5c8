"""Recipes: what a command is told, as frozen records that know their own names.

A recipe is a YAML file, or nothing; overrides are `name=value` on the command line and keywords
in Python. Both end in one frozen pydantic model, which lives beside the code that it configures.
Everything a user can write wrongly ends here, in one sentence.
"""

import dataclasses
import difflib
import hashlib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator


class RecipeError(ValueError):
    """A recipe, or an override of one, that says something the program doesn't understand."""


class Recipe(BaseModel):
    """The base of all recipes: frozen, strict about names, shown and saved as YAML."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    @classmethod
    def with_derived(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The values, with those that follow from others where they aren't given."""
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
"""One or more paths: `a,b` on the command line, or a list; none is an empty one."""

R = TypeVar("R", bound=Recipe)


def load_recipe(
    model: type[R], recipe: str | Path | None = None, overrides: Mapping[str, Any] | None = None
) -> R:
    """Reads a recipe file, lays overrides over it, and checks the whole.

    Args:
        model: The kind of recipe.
        recipe: A YAML file, a shipped recipe by the same path, or None for the defaults.
        overrides: Values by dotted name, `{"optimizer.lr": 0.3}`; a mapping as value is laid
            over the mapping below it, unless it names another `kind`, which replaces it whole.

    Returns:
        The complete recipe.

    Raises:
        RecipeError: One sentence for everything that is wrong: an unknown name (with the nearest
            one), a value of the wrong type or out of range, a file that is no YAML mapping.
    """
    values = {} if recipe is None else _read(_find(Path(recipe)))
    for name, value in (overrides or {}).items():
        _lay_over(values, name.split("."), _plain(value), name)
    try:
        # first what follows from what is given: defaults of a group would look as if given
        return model.model_validate(_over_defaults(model, model.with_derived(values)))
    except ValidationError as error:
        source = f" in {recipe}" if recipe is not None else ""
        sentences = [_sentence(model, one) for one in error.errors()]
        raise RecipeError("; ".join(dict.fromkeys(sentences)) + source) from error


def parse_overrides(words: Iterable[str]) -> dict[str, Any]:
    """Turns `["optimizer.lr=0.3", "masks=none"]` into values by dotted name, typed as in YAML.

    Raises:
        RecipeError: A word without `=`, or a value that is no YAML.
    """
    overrides = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise RecipeError(f"cannot read '{word}'; write name=value, as in optimizer.lr=0.3")
        try:
            overrides[name] = _number(yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise RecipeError(f"cannot read the value of '{word}' as YAML") from error
    return overrides


def to_yaml(recipe: Recipe) -> str:
    """The complete recipe as YAML, in the order of its fields."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, width=100)


def fingerprint(values: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that differ when any of the values differs, in any order."""
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def shipped_recipes() -> Path:
    """The folder of the recipes that come with the package."""
    installed = Path(__file__).parent / "recipes"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "recipes"


def _find(path: Path) -> Path:
    """The file itself, or the shipped recipe of that name (`recipes/masks/grid.yaml`)."""
    if path.is_file():
        return path
    shipped = shipped_recipes()
    inside = Path(*path.parts[1:]) if path.parts[:1] == ("recipes",) else path
    if (shipped / inside).is_file():
        return shipped / inside
    known = [str(Path("recipes") / p.relative_to(shipped)) for p in shipped.rglob("*.yaml")]
    raise RecipeError(f"there is no recipe {path}{nearest(str(path), known)}")


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not a YAML recipe: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise RecipeError(f"{path} must hold names and values, but holds a {type(values).__name__}")
    return _plain(values)


def _plain(value: Any) -> Any:
    """Paths, models and tuples as YAML would hold them; numbers as YAML 1.2 reads them (1e-3)."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return _number(value)


def _number(value: Any) -> Any:
    """PyYAML reads 1e-3 as a word, since YAML 1.1 wants 1.0e-3; nobody writes that."""
    if isinstance(value, str) and value[:1] in "+-.0123456789" and "e" in value.lower():
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _lay_over(values: dict[str, Any], path: list[str], value: Any, name: str) -> None:
    *parents, last = path
    for parent in parents:
        if not isinstance(values.setdefault(parent, {}), dict):
            raise RecipeError(f"cannot set '{name}': '{parent}' is a single value, not a group")
        values = values[parent]
    old = values.get(last)
    another = isinstance(value, dict) and "kind" in value and old is not None
    if another and isinstance(old, dict) and old.get("kind") != value["kind"]:
        old = None
    if isinstance(value, dict) and isinstance(old, dict):
        for inner, inner_value in value.items():
            _lay_over(old, [inner], inner_value, f"{name}.{inner}")
    else:
        values[last] = value


def _over_defaults(model: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    """Lets a setting inside a group change that setting of the field's own default.

    Pydantic would start from the defaults of the group's class, and would want to be told the
    `kind` again: `optimizer.lr=0.3` must mean the default optimiser, with another rate.
    """
    whole = dict(values)
    for name, field in model.model_fields.items():
        given, default = values.get(name), field.get_default(call_default_factory=True)
        if not isinstance(given, dict) or not records_within(type(default)):
            continue
        record = default.model_dump(mode="json") if isinstance(default, BaseModel) else {}
        if dataclasses.is_dataclass(default) and not isinstance(default, type):
            record = {f.name: getattr(default, f.name) for f in dataclasses.fields(default)}
        if given.get("kind", record.get("kind")) == record.get("kind"):
            inner = (
                _over_defaults(type(default), given) if isinstance(default, BaseModel) else given
            )
            whole[name] = {**record, **inner}
    return whole


def _sentence(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    """What was asked, what came, what to do, for one complaint of pydantic."""
    place = [str(part) for part in error["loc"]]
    name = ".".join(part for part in place if not _is_tag(model, place, part))
    kind, given = error["type"], error.get("input")
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        known = field_names(model)
        if (parent := name.rpartition(".")[0]) and any(k.startswith(parent + ".") for k in known):
            known = [k for k in known if k.startswith(parent + ".")]
        return f"there is no setting '{name}'{nearest(name, known)}"
    if kind == "missing":
        return f"'{name}' is missing; give {name}=..."
    message = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if not message[1:2].isupper():  # MCG stays MCG
        message = message[:1].lower() + message[1:]
    if kind == "value_error" and not name:
        return message
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        context = error.get("ctx", {})
        tag = context.get("tag")
        got = f", got '{tag}'" if tag else ""
        return f"'{name}.kind' must be one of {context.get('expected_tags', 'its kinds')}{got}"
    return f"'{name}' cannot be {given!r}: {message}"


def _is_tag(model: type[BaseModel], place: list[str], part: str) -> bool:
    """Pydantic puts the tag of a union between the names; a user never wrote it there."""
    position = place.index(part)
    return position > 0 and part in _tags(model) and part not in _own_names(model)


def _tags(model: Any) -> set[str]:
    return {
        tag
        for inner in _models_within(model)
        for tag in get_args(_hints(inner).get("kind", Any))
        if isinstance(tag, str)
    }


def _own_names(model: Any) -> set[str]:
    return {name for inner in _models_within(model) for name in _hints(inner)}


def field_names(model: Any, prefix: str = "") -> list[str]:
    """Every dotted name that a recipe of this model understands."""
    names = []
    for name, hint in _hints(model).items():
        names.append(prefix + name)
        for inner in records_within(hint):
            names += field_names(inner, f"{prefix}{name}.")
    return list(dict.fromkeys(names))


def _models_within(model: Any) -> list[Any]:
    found = [model]
    for hint in _hints(model).values():
        for inner in records_within(hint):
            found += _models_within(inner)
    return found


def _hints(model: Any) -> dict[str, Any]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        return {name: field.annotation for name, field in model.model_fields.items()}
    hints = typing.get_type_hints(model)
    return {field.name: hints[field.name] for field in dataclasses.fields(model)}


def records_within(hint: Any) -> list[Any]:
    """The recipes and dataclasses that a field may hold."""
    if get_origin(hint) is Annotated:
        return records_within(get_args(hint)[0])
    if get_origin(hint) in (typing.Union, types.UnionType):
        return [part for member in get_args(hint) for part in records_within(member)]
    is_record = isinstance(hint, type) and (
        issubclass(hint, BaseModel) or dataclasses.is_dataclass(hint)
    )
    return [hint] if is_record else []


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a complaint of an unknown word: the nearest known one, or some of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not close:
        by_leaf = {name.rpartition(".")[2]: name for name in known}
        leaf = difflib.get_close_matches(word.rpartition(".")[2], list(by_leaf), n=1, cutoff=0.7)
        close = [by_leaf[name] for name in leaf]
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(sorted(known)[:12])}"
