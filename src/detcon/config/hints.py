"""Settings of a record: which values each may hold, its default, and how it is written.

A record is a recipe or a dataclass. A group is a setting that holds a record, or one of several
told apart by `kind`.
"""

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a hint, without annotations.

    >>> members(int | None)
    (<class 'int'>, <class 'NoneType'>)
    """
    if get_origin(hint) is Annotated:
        return members(get_args(hint)[0])
    if get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(one for member in get_args(hint) for one in members(member))
    return (hint,)


def is_record(hint: Any) -> bool:
    """Whether a hint is a recipe or a dataclass."""
    return isinstance(hint, type) and (
        issubclass(hint, BaseModel) or dataclasses.is_dataclass(hint)
    )


def records_within(hint: Any) -> list[Any]:
    """The records that a setting may hold."""
    return [one for one in members(hint) if is_record(one)]


@cache
def _settings(record: Any) -> Mapping[str, FieldInfo]:
    if issubclass(record, BaseModel):
        return record.model_fields
    hints = typing.get_type_hints(record)
    return {
        field.name: FieldInfo.from_annotated_attribute(hints[field.name], field)
        for field in dataclasses.fields(record)
    }


@cache
def fields_of(record: Any) -> dict[str, Any]:
    """The settings of a record, by name, with their hints."""
    return {name: setting.annotation for name, setting in _settings(record).items()}


def is_required(record: Any, name: str) -> bool:
    """Whether a setting must be given."""
    return _settings(record)[name].is_required()


def default_of(record: Any, name: str, usual: Any = None) -> Any:
    """A setting's default: its value in `usual`, else the class's; None if it must be given."""
    if usual is not None:
        return getattr(usual, name)
    setting = _settings(record)[name]
    return None if setting.is_required() else setting.get_default(call_default_factory=True)


def kind_of(record: Any) -> str:
    """The `kind` that stands for a record; "" where it has none."""
    hint = fields_of(record).get("kind")
    return str(get_args(hint)[0]) if get_origin(hint) is Literal else ""


def below(hints: Iterable[Any], name: str) -> tuple[Any, ...]:
    """The hints of a setting within a group, from the hints of the group; () if unknown."""
    found: list[Any] = []
    for hint in hints:
        if is_record(hint) and name in fields_of(hint):
            found += members(fields_of(hint)[name])
        elif get_origin(hint) is dict:
            found += members(get_args(hint)[1])
        elif hint is Any:
            found.append(Any)
    return tuple(found)


def field_names(model: Any, prefix: str = "") -> list[str]:
    """Every dotted name that a recipe of this model understands."""
    names = []
    for name, hint in fields_of(model).items():
        names.append(prefix + name)
        for inner in records_within(hint):
            names += field_names(inner, f"{prefix}{name}.")
    return list(dict.fromkeys(names))


def differing(record: Any, usual: Any, prefix: str = "") -> dict[str, Any]:
    """The settings that differ from those of `usual`, or from the defaults, by dotted name."""
    found: dict[str, Any] = {}
    for name in fields_of(type(record)):
        value, default = getattr(record, name), default_of(type(record), name, usual)
        if value == default or name == "kind":
            continue
        if not is_record(type(value)):
            found[prefix + name] = value
            continue
        same_kind = type(value) is type(default)
        if not same_kind and (kind := kind_of(type(value))):
            found[f"{prefix}{name}.kind"] = kind
        found |= differing(value, default if same_kind else None, f"{prefix}{name}.")
    return found


def shown(value: Any) -> str:
    """A value as it may be given on the command line.

    No number among numbers is all of what is counted, as in `labels`.

    >>> shown((0.5, 2.0)), shown(None), shown(True), shown((20, None))
    ('0.5,2.0', 'null', 'true', '20,all')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple | list):
        parts = ["all" if one is None else shown(one) for one in value]
        plain = not any(part[:1] in ("[", "{") or "," in part for part in parts)
        return ",".join(parts) if plain and len(parts) > 0 else f"[{', '.join(parts)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {shown(inner)}' for name, inner in value.items())}}}"
    if is_record(type(value)):
        return shown({name: getattr(value, name) for name in fields_of(type(value))})
    return str(value)
