"""Help: the list of commands, and all settings of a command."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from detcon.cli.verbs import Verb
from detcon.config import (
    Recipe,
    RecipeError,
    fields_of,
    head_of,
    kind_of,
    load_unfinished,
    recipes_for,
    records_within,
    shown,
)
from detcon.config.hints import default_of, is_record, is_required

SettingRow = tuple[str, str, str]
"""A setting, its default and its description."""

_ARGUMENT = re.compile(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", re.MULTILINE)


def list_verbs(verbs: Mapping[str, Verb], out: Console) -> None:
    """Prints all commands with what they do."""
    out.print("Object-level self-supervised pretraining by contrastive detection.\n")
    out.print("Photos become masks, masks a backbone, a backbone a better detector or segmenter.\n")
    out.print("  detcon VERB [RECIPE] name=value ...\n")
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, verb in verbs.items():
        table.add_row(f"  {name}", escape(verb.does))
    table.add_row("  completion", 'For your shell, in ~/.bashrc: eval "$(detcon completion bash)"')
    table.add_row("  version", "Print the version.")
    out.print(table)
    out.print("\nThe settings of a command: detcon VERB --help.")
    out.print("An interrupted command continues where it stopped when it is given again.")


def teach(
    name: str,
    verb: Verb,
    model: type[Recipe],
    out: Console,
    recipe: str | None = None,
    given: Mapping[str, Any] | None = None,
) -> None:
    """Prints what a command does, and every setting with its default.

    In between, the comment of the recipe that is asked about; without one an example, and all
    recipes. With a recipe, or settings that are given, these are the values, and the settings are
    those of their own kinds alone.
    """
    out.print(f"[bold]detcon {name}[/bold]: {escape(verb.does)}\n")
    if recipe is not None:
        out.print(f"[bold]{escape(recipe)}[/bold]\n{escape(head_of(recipe, model.shelf))}\n")
    else:
        out.print(f"  {escape(verb.example)}\n")
    if recipe is None and not given and (recipes := recipes_for(model.shelf)):
        _print("recipes", [(one.name, one.title) for one in recipes], out)
    values = _values(model, recipe, given or {}, out)
    groups = {name: records_within(hint) for name, hint in fields_of(model).items()}
    single = [name for name, records in groups.items() if not records]
    _print("settings", [_row(model, values, name, "") for name in single], out)
    for group, records in groups.items():
        if records:
            about = model.model_fields[group].description or ""
            rows = _rows_of_group(model, values, group, "", alone=values is not None)
            _print(f"{group}: {about}" if about else group, rows, out)
    flags = {**verb.flags, "debug": "show the traceback of an error"}
    _print("switches", [(f"--{flag}", about) for flag, about in flags.items()], out)
    out.print(
        escape("Settings are name=value, in any order. Lists are a,b or [a, b]. null: no value.")
    )
    if values is not None and (chosen := _chosen(values)):
        out.print(
            f"Other kinds of {', '.join(chosen)} have their own settings: detcon {name} --help"
        )


def _values(
    model: type[Recipe], recipe: str | None, given: Mapping[str, Any], out: Console
) -> Recipe | None:
    """The recipe, with what is given; None where there is neither, or, which is told, a mistake."""
    if recipe is None and not given:
        return None
    try:
        return load_unfinished(model, recipe, given, missing="required")
    except RecipeError as error:
        out.print(f"These are all settings: {escape(str(error))}\n")
        return None


def _chosen(record: Any, prefix: str = "") -> list[str]:
    """The groups within a record that are one of several kinds, by their dotted names."""
    found = []
    for name, hint in fields_of(type(record)).items():
        if is_record(type(value := getattr(record, name))):
            found += [prefix + name] if len(records_within(hint)) > 1 else []
            found += _chosen(value, f"{prefix}{name}.")
    return found


def _rows_of_group(
    record: Any, usual: Any, group: str, prefix: str, *, alone: bool = False
) -> list[SettingRow]:
    """The settings of a group, for each of its kinds, or for its own kind alone."""
    records = records_within(fields_of(record)[group])
    default = default_of(record, group, usual)
    if alone and is_record(type(default)):
        records = [type(default)]
    rows: list[SettingRow] = []
    for inner in records:
        own = default if type(default) is inner else None
        if kind := kind_of(inner):
            first = (inner.__doc__ or "").strip().partition("\n")[0]
            mark = "default" if own is not None else ""
            named = ("kind", kind) if alone and own is not None else (f"kind={kind}", mark)
            rows.append((f"{prefix}{group}.{named[0]}", named[1], first))
        for name, hint in fields_of(inner).items():
            if name == "kind":
                continue
            if records_within(hint):
                rows.append((f"{prefix}{group}.{name}", "", _described(inner).get(name, "")))
                rows += _rows_of_group(inner, own, name, f"{prefix}{group}.", alone=alone)
            else:
                rows.append(_row(inner, own, name, f"{prefix}{group}."))
    return rows


def _row(record: Any, usual: Any, name: str, prefix: str) -> SettingRow:
    if name not in getattr(usual, "model_fields_set", (name,)):
        usual = None  # the class's own default is clearer: "auto", not what it stands for
    must_be_given = usual is None and is_required(record, name)
    default = "required" if must_be_given else _default(default_of(record, name, usual))
    return prefix + name, default, _described(record).get(name, "")


def _described(record: Any) -> dict[str, str]:
    """Descriptions of settings: of their fields, or from the Args of the docstring."""
    if issubclass(record, BaseModel):
        return {name: field.description or "" for name, field in record.model_fields.items()}
    found = _ARGUMENT.findall(record.__doc__ or "")
    return {name: " ".join(text.split()) for name, text in found}


def _default(value: Any) -> str:
    if isinstance(value, tuple) and value and is_record(type(value[0])):
        return "see the recipes"
    return shown(value)


def _print(title: str, rows: Sequence[tuple[str, ...]], out: Console) -> None:
    """Prints a title and a table below it."""
    out.print(f"[bold]{escape(title)}[/bold]")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, overflow="fold")
    for first, *others in rows:
        table.add_row(f"  {escape(first)}", *map(escape, others))
    out.print(table)
    out.print()
