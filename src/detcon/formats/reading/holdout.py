"""Which photos are for training and which for validation, and drawing val where there is none."""

import csv
import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar, runtime_checkable

from detcon.files import read_text
from detcon.formats.errors import AnnotationError


@runtime_checkable
class Keyed(Protocol):
    """An entry of a data set; `key` is its photo."""

    @property
    def key(self) -> str: ...


One = TypeVar("One", bound=Keyed)

SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""The split that a folder's or a list's name stands for."""


@dataclass(frozen=True)
class Holdout:
    """Draws val from the photos of a data set that has none.

    A photo's side follows from its name alone, so that more photos don't move those before.

    Attributes:
        share: Of the photos, or of their groups, that are val: about, since each is drawn alone.
        groups: Photos of a group stay together. A group is what the photos' paths have in common
            up to this text, as in "_" or "/"; or a CSV file has a line `photo,group` for each
            photo. None: each photo is alone.
    """

    share: float
    groups: str | None = None

    def is_val(self, keys: Sequence[str]) -> list[bool]:
        """Whether each photo is val. Raises `AnnotationError` if the CSV lacks one."""
        group = self._group(keys)
        return [draw(group[key]) < self.share for key in keys]

    def _group(self, keys: Sequence[str]) -> Mapping[str, str]:
        if self.groups is None:
            return {key: key for key in keys}
        if not self.groups.lower().endswith(".csv"):
            return {key: _prefix(key, self.groups) for key in keys}
        table = _read_groups(Path(self.groups))
        found = {key: table.get(key) or table.get(PurePosixPath(key).name) for key in keys}
        missing = [key for key, one in found.items() if one is None]
        if missing:
            raise AnnotationError(
                f"{self.groups} has no group for {len(missing)} of {len(keys)} photos, the first "
                f"is {missing[0]}; add a line 'photo,group' for each"
            )
        return {key: str(one) for key, one in found.items()}


def draw_split(
    parts: Mapping[str, Sequence[One]],
    split: str,
    holdout: Holdout | None,
    source: str,
    *,
    or_whole: bool = False,
) -> Sequence[One]:
    """The entries of a split.

    Args:
        parts: By split; those of a data set without splits are under "".
        split: train, val or test.
        holdout: How val is drawn where there is none; None: it must be there.
        source: The data set's name in messages.
        or_whole: Whether a data set without splits gives all, as for masks, which need no val.

    Raises:
        AnnotationError: There is no such split and none may be drawn; val may be drawn, but is
            there; a draw leaves a side empty; or a photo is both train and val.
    """
    there = {name: part for name, part in parts.items() if part}
    train, val = ({one.key for one in there.get(name, ())} for name in ("train", "val"))
    if train & val:
        raise AnnotationError(
            f"{source}: {len(train & val)} photos are in train and in val, the first is "
            f"{min(train & val)}; remove them from one"
        )
    if holdout is None:
        if split in there:
            return there[split]
        if or_whole and "" in there:
            return there[""]
    whole = there.get("train") or there.get("")
    if holdout is None or not whole:
        kinds = " and ".join(name for name in there if name)
        what = f"only {kinds}" if kinds else "all its photos are together"
        raise AnnotationError(f"{source} has no {split}: {what}; {_ways_out(there, or_whole)}")
    if "val" in there:
        raise AnnotationError(
            f"{source} has a val of its own, of {len(there['val'])} photos; leave val= out"
        )
    drawn = holdout.is_val([one.key for one in whole])
    chosen = [one for one, is_val in zip(whole, drawn, strict=True) if is_val == (split == "val")]
    if not chosen:
        raise AnnotationError(
            f"val={holdout.share:g} of the {len(whole)} photos of {source} leaves none for {split};"
            f" give another share, or smaller groups"
        )
    return chosen


def _ways_out(there: Collection[str], or_whole: bool) -> str:
    """What to do with a data set that lacks a split, by those that it has."""
    if or_whole:
        return f"give split={next(iter(there), 'train')} (generator.split for masks)"
    if "train" in there or "" in there:
        return (
            "give val=0.2 to draw a fifth of the photos for validation, or move photos into train "
            "and val"
        )
    if len(there) > 1:
        return "call test train, to learn from it"
    return f"call {next(iter(there), 'it')} train, and give val=0.2 to draw a fifth for validation"


def split_of(path: PurePosixPath) -> str:
    """The split that the first folder with a split's name stands for; "" if there is none."""
    return next((SPLITS[part.lower()] for part in path.parts if part.lower() in SPLITS), "")


def by_folder(entries: Sequence[One], source: str) -> dict[str, list[One]]:
    """Sorts entries by the folder of their split.

    Raises:
        AnnotationError: Some lie in the folder of a split, and others in none.
    """
    parts: dict[str, list[One]] = {}
    for one in entries:
        parts.setdefault(split_of(PurePosixPath(one.key).parent), []).append(one)
    if "" in parts and len(parts) > 1:
        names = " and ".join(sorted(name for name in parts if name))
        raise AnnotationError(
            f"{source} has folders {names}, but {len(parts[''])} of its photos lie in none of "
            f"them, the first is {parts[''][0].key}; move them there, or give one of the folders "
            "as the data set"
        )
    return parts


def draw(group: str) -> float:
    """A number from 0 to 1 that follows from the name."""
    return int.from_bytes(hashlib.sha256(group.encode("utf-8", "replace")).digest()[:7]) / 2**56


def _prefix(key: str, separator: str) -> str:
    """What stands before the separator: in the path for "/", else in the file's name."""
    if separator == "/":
        return str(PurePosixPath(key).parent)
    path = PurePosixPath(key)
    return str(path.parent / path.name.partition(separator)[0])


def _read_groups(path: Path) -> dict[str, str]:
    ways_out = "give a CSV with a line 'photo,group' for each photo"
    try:
        rows = [row for row in csv.reader(io.StringIO(read_text(path), newline="")) if row]
    except ValueError as error:
        raise AnnotationError(f"cannot read the groups {path}: {error}") from error
    except (OSError, csv.Error) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise AnnotationError(f"cannot read the groups {path}: {what}; {ways_out}") from error
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) < 2), None)
    if wrong:
        raise AnnotationError(f"line {wrong} of {path} isn't 'photo,group'; {ways_out}")
    groups: dict[str, str] = {}
    for photo, group in ((row[0].strip(), row[1].strip()) for row in rows):
        if groups.setdefault(photo, group) != group:
            raise AnnotationError(
                f"{path} has {photo} in the groups {groups[photo]} and {group}; remove one line"
            )
    return groups
