"""Recipes that come with the package, and finding a recipe by its name."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from detcon.config.recipe import RecipeError, nearest
from detcon.files import read_text

_SENTENCE = re.compile(r"# \S")
"""A line of text in a comment. Lines with commands are indented."""


@dataclass(frozen=True)
class ShippedRecipe:
    """A recipe that comes with the package: its bare name and its file."""

    name: str
    path: Path

    @property
    def title(self) -> str:
        """The first sentence of the file's comment."""
        with self.path.open(encoding="utf-8") as file:
            lines = takewhile(_SENTENCE.match, file)
            text = " ".join(line.strip("# \n") for line in lines)
        return text.partition(". ")[0].rstrip(".") + "."


def head_of(recipe: str | Path, shelf: str = "") -> str:
    """The comment at the top of a recipe's file: what it is, its command, data and cost.

    Raises:
        RecipeError: As `find_recipe`.
    """
    lines = read_text(find_recipe(recipe, shelf)).splitlines()
    comment = takewhile(lambda line: line.startswith("#"), lines)
    return "\n".join(line[1:].removeprefix(" ") for line in comment)


def shipped_recipes() -> Path:
    """The folder of the recipes that come with the package."""
    package = Path(__file__).parents[1]
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parents[1] / "recipes"


def recipes_for(shelf: str) -> list[ShippedRecipe]:
    """The shipped recipes in a folder below `recipes/`; none for ""."""
    return list(_shipped(shelf)) if shelf else []


def find_recipe(recipe: str | Path, shelf: str = "") -> Path:
    """Finds a recipe: a file, or a shipped recipe by its path or bare name.

    Args:
        recipe: `my.yaml`, `recipes/masks/grid.yaml` from anywhere, or `grid`.
        shelf: The folder of shipped recipes that is searched first.

    Raises:
        RecipeError: There is none, or there are several of that name.
    """
    path = Path(recipe)
    if path.is_file():
        return path
    shipped = shipped_recipes()
    inside = Path(*path.parts[1:]) if path.parts[:1] == ("recipes",) else path
    if (shipped / inside).is_file():
        return shipped / inside
    bare = path.name.removesuffix(".yaml")
    if len(path.parts) == 1:
        everywhere = [one for one in _shipped("") if one.name == bare]
        found = [one for one in everywhere if one.path.parent.name == shelf] or everywhere
        if len(found) > 1:
            both = " and ".join(_from_outside(one.path) for one in found)
            raise RecipeError(f"{path} may be {both}; give one of these paths")
        if found:
            return found[0].path
    if path.exists():
        raise RecipeError(
            f"there is no recipe {path}, but a folder: name its setting, as in images={path}"
        )
    names = [one.name for one in _shipped(shelf)]
    if len(path.parts) > 1:
        names = [_from_outside(one.path) for one in _shipped(shelf)]
    near = nearest(str(path), names)
    if not shelf and not path.suffix and near.startswith("; known"):
        near = "; settings are written name=value"
    if path.suffix in (".yaml", ".yml") and near.startswith("; known"):
        near = ": no such file, and none that ships"
    raise RecipeError(f"there is no recipe {path}{near}")


def _shipped(shelf: str) -> Iterator[ShippedRecipe]:
    folder = shipped_recipes() / shelf
    return (ShippedRecipe(path.stem, path) for path in sorted(folder.rglob("*.yaml")))


def _from_outside(path: Path) -> str:
    return str(Path("recipes") / path.relative_to(shipped_recipes()))
