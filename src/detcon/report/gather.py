"""Reading run folders into records. Nothing here computes or draws; nothing here imports torch.

A pretraining run is a folder with `metrics.jsonl` whose recipe names `images`. A transfer run is a
folder with results (`result.json`) in folders below it, one a seed. A folder of runs is looked
through, so that `runs/` means the same as `runs/*`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from detcon.report.runs import RANDOM, History, Pretraining, Result, Runs, SavedRecipe, Transfer

METHOD_NAMES = {
    "detcon_s": "DetCon-S",
    "detcon_b": "DetCon-B",
    "simclr": "SimCLR",
    "byol": "BYOL",
    "supervised": "supervised",
}


class RunError(ValueError):
    """A folder that is no run, or a file in a run that cannot be understood."""


def gather_runs(folders: Iterable[str | Path]) -> Runs:
    """Reads all runs in and below some folders, in the order given, each once.

    Raises:
        RunError: A folder doesn't exist or holds no run, or a file of a run is damaged: the
            sentence names the file, and in `metrics.jsonl` the line.
    """
    pretrained, transferred = {}, {}
    for given in folders:
        found = list(_find_runs(Path(given)))
        if not found:
            raise RunError(_no_run(Path(given)))
        for folder, is_transfer in found:
            (transferred if is_transfer else pretrained)[folder.resolve()] = folder
    if not pretrained and not transferred:
        raise RunError("a report needs at least one run folder; give some, as in runs/*")
    pretrainings = _with_names([_read_pretraining(folder) for folder in pretrained.values()])
    transfers = [_read_transfer(folder, pretrainings) for folder in transferred.values()]
    return Runs(pretrainings, transfers)


def _no_run(folder: Path) -> str:
    if not folder.exists():
        return f"there is no run folder {folder}; give folders that pretrain or transfer wrote"
    if not folder.is_dir():
        return f"{folder} is a file, not a run folder; give folders that pretrain or transfer wrote"
    return (
        f"{folder} holds no run: no metrics.jsonl of a pretraining and no result.json of a "
        f"transfer; give folders that pretrain or transfer wrote"
    )


def _find_runs(folder: Path) -> Iterable[tuple[Path, bool]]:
    """Run folders at or below a folder, and whether each is a transfer run."""
    if not folder.is_dir():
        return
    inner = sorted(p for p in folder.iterdir() if p.is_dir())
    if any((p / "result.json").is_file() for p in inner) or _is_result(folder):
        yield folder, True
        inner = [p for p in inner if not (p / "result.json").is_file()]
        inner = [p for p in inner if not (p / "metrics.jsonl").is_file()]  # a seed under way
    elif (folder / "metrics.jsonl").is_file():
        saved = _read_recipe(folder)
        if saved is not None and "images" in saved.values:
            yield folder, False
        return
    for below in inner:
        yield from _find_runs(below)


def _is_result(folder: Path) -> bool:
    path = folder / "result.json"
    return path.is_file() and "task" in _read_json(path)


def _read_pretraining(folder: Path) -> Pretraining:
    saved = _read_recipe(folder)
    method = METHOD_NAMES.get(method_of(saved.values)) if saved else None
    backbone = folder / "backbone.safetensors"
    return Pretraining(
        folder=folder,
        name=method or folder.resolve().name,
        saved=saved,
        environment=_read_json(folder / "environment.json"),
        history=_read_history(folder / "metrics.jsonl"),
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
    names = [run.name for run in runs]
    short = [f"{run.name} · {run.folder.resolve().name}" for run in runs]
    long = [f"{run.name} · {run.folder}" for run in runs]
    named = []
    for i, run in enumerate(runs):
        choices = [options[i] for options in (names, short) if options.count(options[i]) == 1]
        named.append(replace(run, name=choices[0] if choices else long[i]))
    return named


def _read_transfer(folder: Path, pretrainings: Sequence[Pretraining]) -> Transfer:
    places = [folder] if _is_result(folder) else sorted(folder.iterdir(), key=_seed_order)
    places = [p for p in places if (p / "result.json").is_file()]
    environments = [_read_json(p / "environment.json") for p in [folder, *places]]
    return Transfer(
        folder=folder,
        saved=next(filter(None, map(_read_recipe, [folder, *places])), None),
        environment=next(filter(None, environments), {}),
        results=[_read_result(place, folder, pretrainings) for place in places],
    )


def _seed_order(path: Path) -> tuple[int, str]:
    digits = "".join(c for c in path.name if c.isdigit())
    return (int(digits) if digits else -1, path.name)


def _read_result(folder: Path, run: Path, pretrainings: Sequence[Pretraining]) -> Result:
    path = folder / "result.json"
    values = _read_json(path)
    for name in ("task", "metric", "value", "seed", "backbone"):
        if name not in values:
            raise RunError(f"{path} has no '{name}'; was it written by detcon transfer?")
    if not isinstance(values["value"], int | float):
        raise RunError(f"{path}: 'value' must be a number, not {values['value']!r}")
    return Result(
        folder=folder,
        run=run.resolve().name,
        task=str(values["task"]).replace("_", " "),
        metric=str(values["metric"]),
        unit=str(values.get("unit") or ""),
        value=float(values["value"]),
        seed=int(values["seed"]),
        steps=values.get("steps"),
        labels=values.get("labels"),
        backbone=backbone_name(str(values["backbone"]), pretrainings),
        per_class=values.get("per_class") or {},
        figures=values.get("figures") or {},
        seconds=values.get("seconds"),
        versions=values.get("versions") or {},
        predictions=sorted((folder / "predictions").glob("*.png")),
        history=_read_history(folder / "metrics.jsonl"),
    )


def backbone_name(source: str, pretrainings: Sequence[Pretraining]) -> str:
    """What to call a backbone: the run that made it, `random weights`, or the file's name."""
    if source == "random":
        return RANDOM
    path = Path(source)
    for run in pretrainings:
        if path.parent.resolve() == run.folder.resolve():
            return run.name
    by_folder = [run.name for run in pretrainings if run.folder.name == path.parent.name]
    if len(by_folder) == 1 and path.parent.name:  # the folders were moved since
        return by_folder[0]
    return path.parent.name if path.stem == "backbone" and path.parent.name else path.stem


def _read_recipe(folder: Path) -> SavedRecipe | None:
    path = folder / "recipe.yaml"
    if not path.is_file():
        return None
    text = path.read_text()
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RunError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} must hold names and values, but holds {type(values).__name__}")
    return SavedRecipe(path, text, values)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise RunError(f"{path} is not JSON: {error}; restore it, or leave its run out") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} must hold names and values, but holds {type(values).__name__}")
    return values


def _read_history(path: Path) -> History:
    """One JSON object a line. A last line without its end was being written: it is left out."""
    if not path.is_file():
        return History()
    *lines, last = path.read_text().split("\n")
    rows = [_read_row(path, n, line) for n, line in enumerate(lines, start=1) if line.strip()]
    with suppress(RunError):
        rows.append(_read_row(path, len(lines) + 1, last))
    return History(_last_of_each_step(rows))


def _read_row(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise RunError(
            f"line {number} of {path} is not JSON: {error}; delete the line, or leave its run out"
        ) from error
    if not isinstance(row, dict) or not isinstance(row.get("step"), int):
        raise RunError(
            f"line {number} of {path} has no whole number 'step'; delete the line, or leave its "
            f"run out"
        )
    return row


def _last_of_each_step(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A run that was resumed logs some steps again; what it wrote last counts."""
    by_step = {int(row["step"]): row for row in rows}
    return [by_step[step] for step in sorted(by_step)]
