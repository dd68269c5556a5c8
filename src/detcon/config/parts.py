"""The settings of a recipe that is a part of another one, by the names that its user types."""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from detcon.config.hints import field_names
from detcon.notes import reworded

_NAME = re.compile(
    r"'detcon [^']*'|\bafter: detcon .*"  # commands of their own
    r"|(?<![\w./-])(?P<name>[a-z]\w*(?:\.[a-z]\w*)*)(?P<equals>=?)"
)


@contextmanager
def in_part(model: Any, place: Callable[[str], str]) -> Iterator[None]:
    """Within, what is said and raised about settings of `model` names them as its user does.

    Args:
        model: The recipe that the sentences are about.
        place: From the name of a setting there to the one that the user has for it.
    """
    with reworded(lambda sentence: renamed(sentence, model, place)):
        yield


@contextmanager
def fixed_part(model: Any, own: Collection[str], way_out: str) -> Iterator[None]:
    """Within, what is said and raised about settings of `model` that can't be given ends otherwise.

    Args:
        model: The recipe that the sentences are about.
        own: The settings of it that the user has, by the same names.
        way_out: The end of a sentence that names another one.
    """

    def change(sentence: str) -> str:
        others: list[str] = []

        def seen(name: str) -> str:
            others.extend([name] if name not in own else [])
            return name

        renamed(sentence, model, seen)
        return f"{sentence}; {way_out}" if others else sentence

    with reworded(change):
        yield


def renamed(sentence: str, model: Any, place: Callable[[str], str]) -> str:
    """A sentence with other names of a recipe's settings; commands in it stay as they are.

    A name is followed by `=`, or has a dot: other words are no names.
    """
    known = _names(model)

    def new(found: re.Match[str]) -> str:
        name = found["name"]
        is_name = name in known and (found["equals"] or "." in name)
        return place(name) + found["equals"] if is_name else found[0]

    return _NAME.sub(new, sentence)


@cache
def _names(model: Any) -> frozenset[str]:
    return frozenset(field_names(model))
