"""The class of each photo, for supervised pretraining: from folders, or from a CSV."""

import csv
import io
import posixpath
import sys
from collections.abc import Sequence
from pathlib import Path

from detcon.files import read_text
from detcon.notes import counted, note


class ClassesError(ValueError):
    """Photos without known classes."""


def read_classes(source: str, keys: Sequence[str]) -> tuple[list[int], list[str]]:
    """Finds every photo's class.

    Args:
        source: "folders", where a photo's class is the folder it lies in (as in ImageNet), or a
            CSV with the columns `path` (as in the list of photos) and `class`.

    Returns:
        A class number for each photo, in order, and the sorted names of the classes.

    Raises:
        ClassesError: Unknown classes, fewer than two, or a CSV that can't be read.
    """
    if source == "folders":
        classes = [sys.intern(key.rpartition("/")[0]) for key in keys]  # few, for many photos
    else:
        by_key = _of_csv(Path(source))
        classes = [by_key.get(key, "") for key in keys]
        if others := sorted(by_key.keys() - {*keys}):
            note(f"{source}: {counted(len(others), 'line')} of no photo, the first is {others[0]}")
    without = [key for key, name in zip(keys, classes, strict=True) if not name]
    if without:
        where = "lies in no folder; sort the photos into a folder for each class, or give "
        where += f"method.classes=FILE.csv with {_COLUMNS}"
        if source != "folders":
            where = f"has none in {source}; add a line for each"
        raise ClassesError(
            f"{len(without)} of {len(keys)} photos have no class: {without[0]} {where}"
        )
    names = sorted(set(classes))
    if len(names) < 2:
        raise ClassesError(
            f"supervised pretraining needs two classes or more, but all photos are '{names[0]}'"
        )
    number = {name: i for i, name in enumerate(names)}
    return [number[name] for name in classes], names


_COLUMNS = "the columns path and class"


def _of_csv(path: Path) -> dict[str, str]:
    if path.suffix.lower() != ".csv":
        raise ClassesError(
            f"cannot read classes from '{path}'; give method.classes=folders, or a CSV with "
            f"{_COLUMNS}"
        )
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise ClassesError(f"there is no file {path}; check method.classes") from error
    except ValueError as error:
        raise ClassesError(f"cannot read the classes {path}: {error}") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    found: dict[str, str] = {}
    try:
        columns = rows.fieldnames or []
        if not {"path", "class"} <= set(columns):
            raise ClassesError(
                f"{path} must have {_COLUMNS}, separated by a comma; it has {', '.join(columns)}"
            )
        for row in rows:
            key, name = posixpath.normpath(row["path"].strip()), (row["class"] or "").strip()
            if found.setdefault(key, name) != name:
                raise ClassesError(
                    f"{path} has {key} in the classes {found[key]} and {name}; remove one line"
                )
    except csv.Error as error:
        raise ClassesError(f"cannot read the classes {path}: {error}") from error
    return found
