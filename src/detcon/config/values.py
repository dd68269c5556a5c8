"""Reading a value by the type of its setting.

Words of the command line and of YAML files have no type: `out=1e3` names a folder, `steps=1e3` is a
number. They are kept as written (`Plain`) until their setting is known. Values from Python, and
quoted text in YAML, keep their types.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

from detcon.config.hints import below, default_of, fields_of, is_record, kind_of, members
from detcon.config.recipe import RecipeError, split_list

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
    """YAML whose unquoted words stay as written, and whose mappings hold a name once.

    Anchors and merge keys work as usual.
    """

    yaml_implicit_resolvers = {"<": [("tag:yaml.org,2002:merge", re.compile("<<"))]}  # noqa: RUF012

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        names: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in names:
                line = key.start_mark.line + 1
                raise RecipeError(f"line {line} gives '{key.value}' again; remove one of the two")
            names |= {key.value} if isinstance(key, yaml.ScalarNode) else set()
        return node


_PlainLoader.add_constructor(
    "tag:yaml.org,2002:str",
    lambda _, node: node.value if getattr(node, "style", None) else Plain(node.value),
)


def parse_yaml(text: str) -> Any:
    """Parses YAML into mappings, lists, `Plain` words, and text where it is quoted.

    Raises:
        ValueError: If it is no YAML, or a mapping holds a name twice; the message says where.
    """
    try:
        return untyped(_loaded(text))  # which copies
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply, or contains itself") from error


@lru_cache(maxsize=64)  # hundreds of cells of a study share one recipe
def _loaded(text: str) -> Any:
    return yaml.load(text, Loader=_PlainLoader)


def text_of(value: Any) -> Any:
    """The text of a `Plain` word; any other value as it is."""
    return value.text if isinstance(value, Plain) else value


def untyped(value: Any) -> Any:
    """Turns records, paths and tuples into mappings, text and lists, as in YAML."""
    if isinstance(value, Mapping):
        return {str(text_of(name)): untyped(inner) for name, inner in value.items()}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [untyped(inner) for inner in value]
    return value


def as_group(value: Any, hints: Sequence[Any], name: str) -> Any:
    """Turns text for a group into a mapping: `{lr: 0.1}`, or `sgd` for `{kind: sgd}`.

    Other text is the group's main setting, where it has one.
    """
    text = text_of(value)
    if not isinstance(text, str) or _may_be(hints, str):
        return value
    if text in {kind_of(hint) for hint in hints if is_record(hint)} - {""}:
        return {"kind": text}
    if isinstance(value, Plain) and text[:1] == "{" and any(map(is_mapping, hints)):
        return _structure(text, name)
    main = next((hint.main for hint in hints if is_record(hint) and getattr(hint, "main", "")), "")
    return {main: value} if main and text not in _NULL else value


def read(value: Any, hints: Sequence[Any], name: str = "", default: Any = None) -> Any:
    """Reads a value that `untyped` returned, and every word in it, by the type of its setting.

    Args:
        hints: The `members` of the setting's hint; empty for an unknown setting.
        default: Of the setting: its `kind` counts where none is given.
    """
    value = as_group(value, hints, name)
    if isinstance(value, Plain):
        return _read_text(value.text, hints, name)
    if isinstance(value, dict):
        return _read_group(value, hints, name, default)
    if isinstance(value, list):
        return [
            read(one, _elements(hints, place), f"{name}[{place}]")
            for place, one in enumerate(value)
        ]
    return value


def _read_group(
    values: dict[str, Any], hints: Sequence[Any], name: str, default: Any
) -> dict[str, Any]:
    kind = text_of(values.get("kind", getattr(default, "kind", None)))
    records = [hint for hint in (*hints, *_elements(hints)) if is_record(hint)]
    records.sort(key=lambda record: kind_of(record) != kind)  # the kind that is meant comes first
    others = [hint for hint in hints if not is_record(hint)]
    found = {}
    for inner, value in values.items():
        place = f"{name}.{inner}" if name else inner
        record = next((one for one in records if inner in fields_of(one)), None)
        if record is None:
            found[inner] = read(value, below(others, inner), place)
        else:
            usual = default_of(record, inner, default if type(default) is record else None)
            found[inner] = read(value, below([record], inner), place, usual)
    return found


def _read_text(text: str, hints: Sequence[Any], name: str) -> Any:
    """Reads a word as null, bool, number, list or text: the first of them that the hints allow."""
    if not hints or Any in hints:
        return _guess(text, name)
    if text[:1] == "[" and any(map(_is_sequence, hints)):
        return read(_structure(text, name), hints, name)
    if text in _NULL and (not text or NoneType in hints or not _may_be(hints, str)):
        return None
    if bool in hints and text.lower() in _BOOLS:
        return _BOOLS[text.lower()]
    if _may_be(hints, int, float) and (number := _number(text)) is not None:
        return number
    elements = _elements(hints)
    holds_groups = any(_is_sequence(one) or is_mapping(one) for one in elements)
    if elements and not holds_groups and not _may_be(hints, str):
        parts = split_list(text) if _may_be(elements, str) else text.split(",")
        return [
            _read_text(part.strip(), _elements(hints, place), name)
            for place, part in enumerate(parts)
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
        raise RecipeError(f"cannot read the value of '{name}={text}' as YAML: {error}") from error


def _number(text: str) -> int | float | None:
    """Reads a number as YAML 1.2 does: 1e-3 is one, 1_000 and 12:30 are not."""
    if _INTEGER.fullmatch(text):
        base = {"0x": 16, "0o": 8}.get(text[:2], 10)
        return int(text, base) if len(text) < 1000 else None
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    return float(text) if _FLOAT.fullmatch(text) else None


def _elements(hints: Sequence[Any], place: int = 0) -> tuple[Any, ...]:
    """The hints of a list's elements; of a tuple of fixed length, of the element at a place."""
    lists = [get_args(hint) for hint in hints if _is_sequence(hint)]
    types = [[one for one in arguments if one is not Ellipsis] for arguments in lists]
    return tuple(hint for each in types for hint in members(each[min(place, len(each) - 1)]))


def _may_be(hints: Sequence[Any], *types: type) -> bool:
    """Whether a setting may hold a value of one of these types; a `Literal` by its values."""
    literals = (one for hint in hints if get_origin(hint) is Literal for one in get_args(hint))
    return any(hint in types for hint in hints) or any(isinstance(one, types) for one in literals)


def _is_sequence(hint: Any) -> bool:
    return get_origin(hint) in (tuple, list)


def is_mapping(hint: Any) -> bool:
    """Whether a setting may hold names and values."""
    return hint is Any or get_origin(hint) is dict or is_record(hint)
