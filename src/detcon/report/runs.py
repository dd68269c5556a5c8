"""The runs on a page: finds them in and below folders, and reads them.

A pretraining run is a folder with `metrics.jsonl` whose recipe names `images`. A transfer run is a
folder with results (`result.json`) in folders below it, one a seed. Folders of runs are searched,
so `runs/` means the same as `runs/*`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detcon.results import RunError
from detcon.results.difference import RANDOM
from detcon.results.environment import read_environment
from detcon.results.history import METRICS, History, read_history
from detcon.results.recipe import SavedRecipe, read_recipe
from detcon.results.result import RESULT, Result, read_result

METHOD_NAMES = {
    "detcon_s": "DetCon-S",
    "detcon_b": "DetCon-B",
    "simclr": "SimCLR",
    "byol": "BYOL",
    "region_byol": "region BYOL",
    "region_distillation": "region distillation",
    "supervised": "supervised",
}


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

    `run` is the name of the run's folder, `backbone` its name on the page. `predictions` are saved
    pictures of photo, truth and prediction.
    """

    run: str
    backbone: str
    result: Result
    predictions: Sequence[Path]

    @property
    def task(self) -> str:
        """The task in words, and on how many photos it was scored, if not on all of val."""
        words = self.result.task.replace("_", " ")
        drawn = self.result.val_photos is not None
        return f"{words} on {self.result.num_photos} of the val photos" if drawn else words

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
    def baseline(self) -> str:
        """The weights that all pretrainings began with, if they are the same; else random ones."""
        weights = [run.recipe.get("weights") or {} for run in self.pretrainings]
        sources = {one.get("source") for one in weights if isinstance(one, Mapping)}
        (source, *others) = sources or {None}
        return RANDOM if others or not source else backbone_name(str(source), self.pretrainings)

    @property
    def outcomes(self) -> list[Outcome]:
        """All seeds of all transfer runs."""
        return [outcome for transfer in self.transfers for outcome in transfer.outcomes]


def gather_runs(folders: Iterable[str | Path], names: Mapping[str, str] | None = None) -> Runs:
    """Reads all runs in and below some folders, in the order given, each once.

    Folders in the order of the alphabet are sorted by the numbers in their names.

    `names` are those of pretrainings, by folder; else their methods name them.
    """
    own = {Path(folder).resolve(): name for folder, name in (names or {}).items()}
    pretrained, transferred = {}, {}
    places = [Path(folder) for folder in folders]
    if places == sorted(places):  # as a shell writes runs/*
        places.sort(key=by_numbers)
    for given in places:
        found = list(_find_runs(given))
        if not found:
            raise RunError(_no_run(given))
        for folder, is_transfer in found:
            (transferred if is_transfer else pretrained)[folder.resolve()] = folder
    if not pretrained and not transferred:
        raise RunError("a report needs at least one run folder; give some, as in runs/*")
    pretrainings = _with_names(
        [_read_pretraining(folder, own.get(place)) for place, folder in pretrained.items()]
    )
    transfers = [_read_transfer(folder, pretrainings) for folder in transferred.values()]
    return Runs(pretrainings, transfers)


def _no_run(folder: Path) -> str:
    found = f"there is no run folder {folder}"
    if (folder / METRICS).is_file():
        if read_recipe(folder) is None:
            return (
                f"{folder} has a metrics.jsonl, but no recipe.yaml of its run; copy the whole run "
                f"folder, or give others"
            )
        return (
            f"{folder} is a transfer that isn't finished (no result.json); give its command again"
        )
    if folder.is_dir():
        found = (
            f"{folder} holds no run: no metrics.jsonl of pretrain and no result.json of transfer"
        )
    elif folder.exists():
        found = f"{folder} is a file, not a run folder"
    return f"{found}; give folders that pretrain or transfer wrote"


def _find_runs(folder: Path) -> Iterable[tuple[Path, bool]]:
    """Run folders at or below a folder, and whether each is a transfer run."""
    if not folder.is_dir():
        return
    inner = sorted((p for p in folder.iterdir() if p.is_dir()), key=by_numbers)
    if any(map(_is_result, [folder, *inner])):
        yield folder, True
        # a folder with a log alone is an unfinished seed
        inner = [p for p in inner if not _is_result(p) and not (p / METRICS).is_file()]
    elif (folder / METRICS).is_file():
        saved = read_recipe(folder)
        if saved is not None and "images" in saved.values:
            yield folder, False
        return
    for below in inner:
        yield from _find_runs(below)


def _is_result(folder: Path) -> bool:
    return (folder / RESULT).is_file()


def _read_pretraining(folder: Path, name: str | None = None) -> Pretraining:
    saved = read_recipe(folder)
    method = METHOD_NAMES.get(method_of(saved.values)) if saved else None
    backbone = folder / "backbone.safetensors"
    return Pretraining(
        folder=folder,
        name=name or method or folder.resolve().name,
        saved=saved,
        environment=read_environment(folder),
        history=read_history(folder),
        backbone=backbone if backbone.is_file() else None,
    )


def method_of(recipe: Mapping[str, Any]) -> str:
    """The method's name in a pretraining recipe, which may hold a group of settings."""
    method = recipe.get("method", "")
    if isinstance(method, Mapping):
        method = method.get("kind") or method.get("name") or ""
    return str(method)


def _with_names(runs: Sequence[Pretraining]) -> list[Pretraining]:
    """Names runs by their method alone where that tells them apart, else by their folder too."""
    short = [run.name for run in runs]
    longer = [f"{run.name} · {run.folder.resolve().name}" for run in runs]
    names = [
        one if short.count(one) == 1 else two if longer.count(two) == 1 else f"{one} · {run.folder}"
        for run, one, two in zip(runs, short, longer)
    ]
    return [replace(run, name=name) for run, name in zip(runs, names)]


def _read_transfer(folder: Path, pretrainings: Sequence[Pretraining]) -> Transfer:
    places = [folder] if _is_result(folder) else sorted(folder.iterdir(), key=by_numbers)
    places = [place for place in places if _is_result(place)]
    return Transfer(
        folder=folder,
        saved=next(filter(None, map(read_recipe, [folder, *places])), None),
        environment=next(filter(None, map(read_environment, [folder, *places])), {}),
        outcomes=[_read_outcome(place, folder, pretrainings) for place in places],
    )


def by_numbers(path: Path) -> list[str | int]:
    """For sorting: numbers in names by their size, so that run2 comes before run10."""
    parts = re.split(r"(\d+)", str(path))
    return [int(part) if number % 2 else part for number, part in enumerate(parts)]


def _read_outcome(folder: Path, run: Path, pretrainings: Sequence[Pretraining]) -> Outcome:
    result = read_result(folder)
    return Outcome(
        run=run.resolve().name,
        backbone=backbone_name(result.backbone, pretrainings),
        result=result,
        predictions=sorted((folder / "predictions").glob("*.png")),
    )


def backbone_name(source: str, pretrainings: Sequence[Pretraining]) -> str:
    """Names a backbone: the run that made it, `random weights`, or the file's name."""
    if source == "random":
        return RANDOM
    path = Path(source)
    same = [run.name for run in pretrainings if run.folder.resolve() == path.parent.resolve()]
    moved = [run.name for run in pretrainings if run.folder.name == path.parent.name]
    if same or (len(moved) == 1 and path.parent.name):
        return (same or moved)[0]
    return path.parent.name if path.stem == "backbone" and path.parent.name else path.stem
