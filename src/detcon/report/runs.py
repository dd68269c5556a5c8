"""The runs on a page, with their histories and results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detcon.results.history import History
from detcon.results.recipe import SavedRecipe
from detcon.results.result import Result

RANDOM = "random weights"


@dataclass(frozen=True)
class Pretraining:
    """One pretraining run. `name` is for people, and unique on a page."""

    folder: Path
    name: str
    saved: SavedRecipe | None
    environment: Mapping[str, Any]
    history: History
    backbone: Path | None

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The settings; empty without a recipe."""
        return self.saved.values if self.saved else {}


@dataclass(frozen=True)
class Outcome:
    """One seed of a transfer run.

    Attributes:
        run: The name of the run's folder.
        backbone: What to call the backbone.
        result: As it was saved.
        predictions: Saved pictures of photo, truth and prediction.
    """

    run: str
    backbone: str
    result: Result
    predictions: Sequence[Path]

    @property
    def task(self) -> str:
        """The task in words."""
        return self.result.task.replace("_", " ")

    @property
    def group(self) -> tuple[str, str, str]:
        """Task, metric and unit: what the results of one table share."""
        return self.task, self.result.metric, self.result.unit


@dataclass(frozen=True)
class Transfer:
    """One transfer run: its recipe and its seeds."""

    folder: Path
    saved: SavedRecipe | None
    environment: Mapping[str, Any]
    outcomes: Sequence[Outcome]


@dataclass(frozen=True)
class Runs:
    """All runs on a page."""

    pretrainings: Sequence[Pretraining] = ()
    transfers: Sequence[Transfer] = ()

    @property
    def outcomes(self) -> list[Outcome]:
        """All seeds of all transfer runs."""
        return [outcome for transfer in self.transfers for outcome in transfer.outcomes]
