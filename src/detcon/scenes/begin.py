"""Beginning a folder of scenes, or going on with one that was begun in the same way."""

from pathlib import Path
from typing import Any

import yaml

from detcon.files import write_whole

_RECIPE = "recipe.yaml"


class ScenesError(ValueError):
    """A folder that scenes can't be written to, or a format that can't hold them."""


def begin_folder(folder: Path, values: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Makes the folder, or checks that what is there was begun in the same way.

    Args:
        folder: Where.
        values: Everything that decides about the pictures.
        defaults: Of what an earlier version of this library didn't know, and didn't write down.

    Raises:
        ScenesError: If the folder holds other things, or scenes made in another way.
    """
    path = folder / _RECIPE
    if path.is_file():
        _check_same(folder, defaults | _read_recipe(path), values)
    elif folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ScenesError(
            f"cannot write scenes to {folder}: it holds something else; choose another out="
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, yaml.safe_dump(values, sort_keys=False, width=100).encode())


def _read_recipe(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        values = None
    if not isinstance(values, dict):
        raise ScenesError(
            f"cannot go on with the scenes in {path.parent}: {path} is damaged; "
            f"choose another out=, or remove the folder"
        )
    return values


def _check_same(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    for name in {**now, **before}:
        if before.get(name) != now.get(name):
            raise ScenesError(
                f"the folder {folder} holds scenes made with {name}={before.get(name)}, but "
                f"{name}={now.get(name)} was asked for; choose another out=, or remove the folder"
            )
