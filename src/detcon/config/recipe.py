"""The base of all recipes, and the messages for what is wrong in one."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from detcon.config.hints import below, field_names, is_record, kind_of, records_within


class RecipeError(ValueError):
    """A recipe or override that can't be read, or has a wrong setting."""


class Recipe(BaseModel):
    """The base of all recipes: frozen, strict about names, saved as YAML.

    Attributes:
        shelf: The folder below `recipes/` with the shipped recipes of this kind; "" has none.
        main: The setting that a single word stands for: `weights=FILE` is `weights.source=FILE`.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )
    shelf: ClassVar[str] = ""
    main: ClassVar[str] = ""

    @classmethod
    def with_derived(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Adds values that follow from others and aren't given."""
        return values

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, values: Any) -> Any:
        return cls.with_derived(values) if isinstance(values, dict) else values


def split_list(text: str) -> list[str]:
    """The parts of a list `a,b`; a file or folder that has commas in its name is one part.

    Raises:
        RecipeError: The text is the name of a file, and its parts are names of files too.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1 or not _exists(text):
        return parts
    if all(part and _exists(part) for part in parts):
        raise RecipeError(
            f"'{text}' is one path and also a list of {len(parts)}; write ['{text}'] for the path, "
            f"[{', '.join(parts)}] for the list"
        )
    return [text]


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long for a path, or with a null character
        return False


def _listed(value: Any) -> Any:
    if value is None:
        return ()
    return split_list(value) if isinstance(value, str) else value


Several = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""One or more paths: `a,b` on the command line, or a list; null is an empty one."""


def to_yaml(recipe: Recipe) -> str:
    """The complete recipe as YAML, in the order of its fields."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, width=100)


def fingerprint(values: Mapping[str, Any]) -> str:
    """A hash of settings: twelve hexadecimal digits that don't depend on the order.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def sentence(model: type[BaseModel], error: Mapping[str, Any], part: str = "") -> str:
    """Turns an error of pydantic into a sentence: what was expected, what came, what to do.

    Args:
        model: The recipe.
        error: As pydantic gives it.
        part: The setting of another recipe that holds this one, to which names belong.
    """
    name, within = _walk(model, error["loc"])
    name = ".".join(one for one in (part, name) if one)
    kind, given = error["type"], error.get("input")
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        prefix = name[: name.rfind(".") + 1]
        known = [one for record in within for one in field_names(record, prefix)]
        return f"there is no setting '{name}'{nearest(name, known or field_names(model))}"
    if kind == "missing" and isinstance(given, list | tuple):
        return f"'{name}' cannot be {given!r}: it needs more values"
    if kind == "missing":
        return f"'{name}' is missing; give {name}=..."
    message = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if not message[1:2].isupper():  # MCG stays MCG
        message = message[:1].lower() + message[1:]
    if kind == "value_error" and isinstance(given, dict):
        return f"{name}: {message}" if name else message
    if kind == "union_tag_invalid":
        context = error["ctx"]
        return f"'{name}.kind' must be one of {context['expected_tags']}, got '{context['tag']}'"
    kinds = [kind_of(record) for record in _walk(model, [*error["loc"], "kind"])[1]]
    if kind == "union_tag_not_found":
        return f"'{name}.kind' is missing; give one of {', '.join(map(str, kinds))}"
    if kind == "model_attributes_type" and isinstance(given, str):
        return f"'{name}' cannot be '{given}'{nearest(given, kinds)}"
    if given is None:
        return f"'{name}' cannot be empty or null: {message}"
    return f"'{name}' cannot be {given!r}: {message}"


def setting_at(model: type[BaseModel], place: Sequence[str | int]) -> str:
    """The dotted name of a setting at a place as pydantic gives it."""
    return _walk(model, place)[0]


def _walk(model: type[BaseModel], place: Sequence[str | int]) -> tuple[str, list[Any]]:
    """The dotted name of a place as pydantic gives it, and the records that its last part is in.

    Pydantic puts the kind of a group after its name, and the types that were tried after a value's.
    """
    names: list[str] = []
    hints: Sequence[Any] = (model,)
    within: list[Any] = []
    for part in place:
        records = [hint for hint in hints if is_record(hint)]
        listed = _listed_records(hints)
        of_kind = [record for record in records if kind_of(record) == part]
        if of_kind and len(records) > 1:
            hints = of_kind
        elif isinstance(part, int) and listed:
            names.append(str(part))
            hints = listed
        elif records or any(hint is Any or get_origin(hint) is dict for hint in hints):
            names.append(str(part))
            hints, within = below(hints, str(part)), records
        elif not listed:
            break
    return ".".join(names), within


def _listed_records(hints: Iterable[Any]) -> list[Any]:
    """The records that a list or tuple among the hints may hold."""
    inner = [one for hint in hints if get_origin(hint) in (tuple, list) for one in get_args(hint)]
    return list(dict.fromkeys(record for hint in inner for record in records_within(hint)))


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known word, or a few of them.

    >>> nearest("stepps", ["steps", "epochs"])
    "; did you mean 'steps'?"
    >>> nearest("lr", ["or", "optimizer.lr"])
    "; did you mean 'optimizer.lr'?"
    """
    known = list(known)
    close = [name for name in known if name.endswith(f".{word}")][:1]
    end = word.rpartition(".")[2]
    close = close or [
        name  # the beginning alone, as in 'task.', is no similarity
        for name in difflib.get_close_matches(word, known, n=3, cutoff=0.6)
        if difflib.get_close_matches(end, [name.rpartition(".")[2]], cutoff=0.6)
    ]
    if not close:
        by_leaf = {name.rpartition(".")[2]: name for name in known}
        leaf = difflib.get_close_matches(end, list(by_leaf), n=1, cutoff=0.7)
        close = [by_leaf[name] for name in leaf]
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(sorted(known)[:12])}"
