"""The points of a grid: all combinations of the axes' values, except excluded ones."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from detcon.config import nearest
from detcon.study import StudyError
from detcon.study.recipe import StudyRecipe, Values

SHORT = {
    "backbone": ("transfer.backbone",),
    "data": ("pretrain.images", "supervise.data", "transfer.data"),
    "labels": ("transfer.labels",),
    "masks": ("pretrain.masks",),
    "seed": ("pretrain.seed", "supervise.seed", "transfer.seed"),
    "steps": ("pretrain.steps",),
}
"""Short names, and the settings of recipes that each of them sets."""

_PARTS = ("pretrain", "supervise", "transfer")


@dataclass(frozen=True)
class Point:
    """One point of the grid.

    Attributes:
        values: The value on each axis, or the name of a bundle of settings.
        settings: What these values set, by dotted name such as `pretrain.steps`.
    """

    values: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """A name that fits into a file name: `detcon_s-steps128-seed0`."""
        words = [
            value
            if isinstance(value, str) and value[:1].isalpha()
            else f"{axis.rpartition('.')[2]}{value}"
            for axis, value in self.values.items()
        ]
        return "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", word) for word in words)


def points(study: StudyRecipe) -> list[Point]:
    """All points of a study, the last axis changing fastest."""
    axes = {axis: dict(_choices(axis, values)) for axis, values in study.grid.items()}
    _check_exclude(study, axes)
    found = []
    for combination in itertools.product(*(choices.values() for choices in axes.values())):
        values = {axis: value for axis, (value, _) in zip(axes, combination)}
        settings = {name: v for _, bundle in combination for name, v in bundle.items()}
        if not any(_matches(values, left_out) for left_out in study.exclude):
            found.append(Point(values, settings))
    if not found:
        raise StudyError(f"study {study.name} has no cell left: 'exclude' leaves out all of them")
    return found


def _choices(axis: str, values: Values) -> Iterator[tuple[str, tuple[Any, dict[str, Any]]]]:
    """Each value of an axis as text, with the value and the settings that it stands for."""
    if isinstance(values, dict):
        for name, bundle in values.items():
            place = f"grid.{axis}.{name}"
            settings = [_spelt_out(word, value, place) for word, value in bundle.items()]
            yield name, (name, {n: v for one in settings for n, v in one.items()})
        return
    written = [str(value) for value in values]
    if twice := [word for word in written if written.count(word) > 1]:
        raise StudyError(f"grid.{axis} names {twice[0]} twice; name each only once")
    for value in values:
        yield str(value), (value, _spelt_out(axis, value, f"grid.{axis}"))


def _spelt_out(name: str, value: Any, place: str) -> dict[str, Any]:
    if name in SHORT:
        return dict.fromkeys(SHORT[name], value)
    if name.startswith(tuple(f"{part}." for part in _PARTS)):
        return {name: value}
    known = " or ".join(f"{part}.{name}" for part in _PARTS)
    raise StudyError(
        f"{place} sets '{name}', which is no setting of a cell; write {known}, "
        f"or one of {', '.join(SHORT)}"
    )


def _check_exclude(study: StudyRecipe, axes: Mapping[str, Mapping[str, Any]]) -> None:
    for left_out in study.exclude:
        for axis, values in left_out.items():
            if axis not in axes:
                raise StudyError(f"'exclude' names the axis '{axis}'{nearest(axis, axes)}")
            for value in _several(values):
                if not any(_same(value, name) for name in axes[axis]):
                    where = nearest(str(value), axes[axis])
                    raise StudyError(f"'exclude' names {axis}={value}, not in the grid{where}")


def _matches(values: Mapping[str, Any], left_out: Mapping[str, Any]) -> bool:
    return all(
        any(_same(value, values[axis]) for value in _several(wanted))
        for axis, wanted in left_out.items()
    )


def _same(one: Any, other: Any) -> bool:
    """Whether two values are spelled alike, or are one number, as 1e-5 and '0.00001'."""
    if str(one) == str(other):
        return True
    try:
        return float(str(one)) == float(str(other))
    except ValueError:
        return False


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
