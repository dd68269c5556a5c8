"""Reading a value by the type of its setting.

Words of the command line and of YAML files have no type of their own: `out=1e3` is a folder of that
name, `steps=1e3` a number. So they are kept as they were written (`Plain`) until the setting is
known that they belong to. Values from Python, and quoted text in YAML, keep their types.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

from detcon.config.hints import below, default_of, fields_of, is_record, kind_of, members
from detcon.config.recipe import RecipeError

_NULL = ("", "~", "null", "Null", "NULL")
_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True)
class Plain:
    """An unquoted word of a recipe, or a value of the command line."""

    text: str


class _PlainLoader(yaml.SafeLoader):
    """YAML whose unquoted words stay as written; anchors and merge keys work as usual."""

    yaml_implicit_resolvers = {"<": [("tag:yaml.org,2002:merge", re.compile("<<"))]}  # noqa: RUF012


_PlainLoader.add_constructor(
    "tag:yaml.org,2002:str",
    lambda _, node: node.value if node.style else Plain(node.value),
)


def parse_yaml(text: str) -> Any:
    """Parses YAML into mappings, lists, `Plain` words, and text where it is quoted.

    Raises:
        ValueError: If it is no YAML; the message says where.
    """
    try:
        return untyped(yaml.load(text, Loader=_PlainLoader))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply, or contains itself") from error


def untyped(value: Any) -> Any:
    """Turns records, paths and tuples into mappings, text and lists, as in YAML."""
    if isinstance(value, Mapping):
        names = (name.text if isinstance(name, Plain) else str(name) for name in value)
        return {name: untyped(inner) for name, inner in zip(names, value.values(), strict=True)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [untyped(inner) for inner in value]
    return value


def as_group(value: Any, hints: Sequence[Any], name: str) -> Any:
    """Turns a value for a group into a mapping: `{lr: 0.1}` as text, or the name of a kind.

    Args:
        value: What was given: `{lr: 0.1}` as text, or `sgd` for `{kind: sgd}`.
        hints: What the setting may hold.
        name: The setting, for messages.
    """
    text = value.text if isinstance(value, Plain) else value
    if not isinstance(text, str) or _is_text(hints):
        return value
    if text in {kind_of(hint) for hint in hints if is_record(hint)} - {""}:
        return {"kind": text}
    if isinstance(value, Plain) and text[:1] == "{" and any(map(_is_mapping, hints)):
        return _structure(text, name)
    return value


def read(value: Any, hints: Sequence[Any], name: str = "", default: Any = None) -> Any:
    """Reads a value, and every word in it, by the type of its setting.

    Args:
        value: As `untyped` gives it.
        hints: What the setting may hold: the `members` of its hint; nothing: unknown.
        name: The setting, for messages.
        default: What the setting is where it isn't given; says the `kind` that is meant.
    """
    value = as_group(value, hints, name)
    if isinstance(value, Plain):
        return _read_text(value.text, hints, name)
    if isinstance(value, dict):
        return _read_mapping(value, hints, name, default)
    if isinstance(value, list):
        return [
            read(one, _elements(hints, place), f"{name}[{place}]")
            for place, one in enumerate(value)
        ]
    return value


def _read_mapping(
    values: dict[str, Any], hints: Sequence[Any], name: str, default: Any
) -> dict[str, Any]:
    nested = [h for hint in hints if _is_sequence(hint) for h in _elements([hint], 0)]
    records = [hint for hint in (*hints, *nested) if is_record(hint)]
    kind = values.get("kind", getattr(default, "kind", None))
    kind = kind.text if isinstance(kind, Plain) else kind
    meant = [record for record in records if kind and kind_of(record) == kind] or records
    others = [hint for hint in hints if not is_record(hint)]
    found = {}
    for inner, value in values.items():
        record = next((one for one in (*meant, *records) if inner in fields_of(one)), None)
        if record is not None:
            own = default if type(default) is record else None
            usual = getattr(own, inner) if own is not None else default_of(record, inner)
            found[inner] = read(value, below([record], inner), f"{name}.{inner}", usual)
        else:
            found[inner] = read(value, below(others, inner), f"{name}.{inner}")
    return found


def _read_text(text: str, hints: Sequence[Any], name: str) -> Any:
    """Reads a word as the first of these that fits the hints: null, bool, number, text, list."""
    if not hints or Any in hints:
        return _guess(text, name)
    if text[:1] == "[" and any(map(_is_sequence, hints)):
        return read(_structure(text, name), hints, name)
    if text in _NULL and (not text or NoneType in hints or not _is_text(hints)):
        return None
    if bool in hints and text.lower() in _BOOLS:
        return _BOOLS[text.lower()]
    if any(map(_is_number, hints)) and (number := _number(text)) is not None:
        return number
    elements = [hint for one in hints if _is_sequence(one) for hint in _elements([one], 0)]
    if elements and not _is_text(hints) and not any(map(_is_compound, elements)):
        return [
            _read_text(part.strip(), _elements(hints, place), name)
            for place, part in enumerate(text.split(","))
        ]
    return text


def _guess(text: str, name: str) -> Any:
    """Reads a word of a setting without a type, as YAML 1.2 does."""
    if text[:1] in ("[", "{", "'", '"'):
        return read(_structure(text, name), ())
    if text in _NULL:
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    number = _number(text)
    return text if number is None else number


def _structure(text: str, name: str) -> Any:
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise RecipeError(f"cannot read the value of '{name}={text}' as YAML") from error


def _number(text: str) -> int | float | None:
    """Reads a number as YAML 1.2 does: 1e-3 is one, 1_000 and 12:30 are not."""
    if _INTEGER.fullmatch(text):
        base = {"0x": 16, "0o": 8}.get(text[:2], 10)
        return int(text, base) if len(text) < 1000 else None
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    return float(text) if _FLOAT.fullmatch(text) else None


def _elements(hints: Iterable[Any], place: int) -> tuple[Any, ...]:
    """What an element of a list may hold."""
    found: list[Any] = []
    for hint in hints:
        arguments = get_args(hint) if _is_sequence(hint) else ()
        if arguments:
            fixed = get_origin(hint) is tuple and arguments[-1] is not Ellipsis
            found += members(arguments[min(place, len(arguments) - 1)] if fixed else arguments[0])
    return tuple(found)


def _is_text(hints: Iterable[Any]) -> bool:
    return any(
        hint is str
        or (get_origin(hint) is Literal and any(isinstance(v, str) for v in get_args(hint)))
        for hint in hints
    )


def _is_number(hint: Any) -> bool:
    literals = get_args(hint) if get_origin(hint) is Literal else ()
    return hint in (int, float) or any(isinstance(value, int) for value in literals)


def _is_sequence(hint: Any) -> bool:
    return get_origin(hint) in (tuple, list)


def _is_mapping(hint: Any) -> bool:
    return hint is Any or get_origin(hint) is dict or is_record(hint)


def _is_compound(hint: Any) -> bool:
    return _is_sequence(hint) or _is_mapping(hint)
