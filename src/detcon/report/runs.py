"""What a page is about, as records: runs, their histories, their results."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RANDOM = "random weights"


@dataclass(frozen=True)
class History:
    """What a run logged: `rows` as written, one a log."""

    rows: Sequence[Mapping[str, Any]] = ()

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one quantity, where it was logged and is finite."""
        pairs = [
            (int(row["step"]), float(row[name]))
            for row in self.rows
            if isinstance(row.get(name), int | float) and math.isfinite(row[name])
        ]
        return [step for step, _ in pairs], [value for _, value in pairs]


@dataclass(frozen=True)
class SavedRecipe:
    """The recipe of a run: its file, the text in it, and what that means."""

    file: Path
    text: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Pretraining:
    """One pretraining run. `name` is for people, and different for each run of a page."""

    folder: Path
    name: str
    saved: SavedRecipe | None
    environment: Mapping[str, Any]
    history: History
    backbone: Path | None

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The settings; empty where the file is gone."""
        return self.saved.values if self.saved else {}


@dataclass(frozen=True)
class Result:
    """One seed of a transfer run (`run` is its folder's name); `value` in the unit of its file."""

    folder: Path
    run: str
    task: str
    metric: str
    unit: str
    value: float
    seed: int
    steps: int | None
    labels: int | None
    backbone: str
    per_class: Mapping[str, float | None]
    figures: Mapping[str, float | None]
    seconds: float | None
    versions: Mapping[str, Any]
    predictions: Sequence[Path]
    history: History


@dataclass(frozen=True)
class Transfer:
    """One transfer run: a recipe and the results of its seeds."""

    folder: Path
    saved: SavedRecipe | None
    environment: Mapping[str, Any]
    results: Sequence[Result]


@dataclass(frozen=True)
class Runs:
    """Everything that a page is about."""

    pretrainings: Sequence[Pretraining] = ()
    transfers: Sequence[Transfer] = ()

    @property
    def results(self) -> list[Result]:
        """The results of all seeds of all transfer runs."""
        return [result for transfer in self.transfers for result in transfer.results]
