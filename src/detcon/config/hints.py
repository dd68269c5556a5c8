"""Type hints of settings: what each may hold, and its default.

A record is a recipe or a dataclass. A group is a setting that holds a record, or one of several
told apart by `kind`.
"""

import dataclasses
import types
import typing
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel


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
    """The records that a field may hold."""
    return [one for one in members(hint) if is_record(one)]


@cache
def fields_of(record: Any) -> dict[str, Any]:
    """The settings of a record, by name, with their hints."""
    if issubclass(record, BaseModel):
        return {name: field.annotation for name, field in record.model_fields.items()}
    hints = typing.get_type_hints(record)
    return {field.name: hints[field.name] for field in dataclasses.fields(record)}


def kind_of(record: Any) -> str:
    """The `kind` that stands for a record; "" where it has none."""
    hint = fields_of(record).get("kind")
    return str(get_args(hint)[0]) if get_origin(hint) is Literal else ""


def default_of(record: Any, name: str) -> Any:
    """A setting's default; None where it must be given."""
    if is_required(record, name):
        return None
    if issubclass(record, BaseModel):
        return record.model_fields[name].get_default(call_default_factory=True)
    field = next(field for field in dataclasses.fields(record) if field.name == name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def is_required(record: Any, name: str) -> bool:
    """Whether a setting must be given."""
    if issubclass(record, BaseModel):
        return record.model_fields[name].is_required()
    field = next(field for field in dataclasses.fields(record) if field.name == name)
    return field.default is field.default_factory is dataclasses.MISSING


def below(hints: Iterable[Any], name: str) -> tuple[Any, ...]:
    """What a setting within a group may hold, by the hints of the group; () if unknown."""
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


def records_below(model: Any) -> list[Any]:
    """The model, and all records within it at any depth."""
    found = [model]
    for hint in fields_of(model).values():
        for inner in records_within(hint):
            found += records_below(inner)
    return found
