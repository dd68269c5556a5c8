"""What a finished cell leaves: one JSON, the same bytes wherever it was run, but for the times."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detcon.config import fingerprint, recorded
from detcon.files import write_whole
from detcon.study.cell import Cell, CellSettings
from detcon.study.errors import StudyError


@dataclass(frozen=True)
class Record:
    """A finished cell.

    Attributes:
        study: Its name.
        cell: The value on each axis.
        command: What makes it again; DIR stands for folders of the user's.
        fingerprint: Of the settings.
        metric: What was measured.
        unit: Of the value.
        value: The figure.
        figures: What else was measured, by name.
        per_class: The metric by class.
        pairs: Pairs of views that pretraining saw.
        overlap: The average best overlap of its masks with the true ones, where that is asked for.
        seconds: Of `pretrain` (0 for none) and `transfer`.
        versions: Of the packages that took part.
        machine: What it ran on.
        settings: All of the cell's, with names for paths.
    """

    study: str
    cell: Mapping[str, Any]
    command: str
    fingerprint: str
    metric: str
    unit: str
    value: float
    figures: Mapping[str, float | None]
    per_class: Mapping[str, float | None]
    pairs: int
    overlap: float | None
    seconds: Mapping[str, float]
    versions: Mapping[str, Any]
    machine: Mapping[str, Any]
    settings: Mapping[str, Any]


def write_record(folder: Path, name: str, record: Record) -> Path:
    """Writes `NAME.json` in one move, its keys in the order of `Record`."""
    path = folder / f"{name}.json"
    write_whole(path, json.dumps(asdict(record), indent=1, ensure_ascii=False) + "\n")
    return path


def read_record(path: Path) -> Record:
    """Reads one.

    Raises:
        StudyError: It is damaged, or something else.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
        return Record(**{part.name: values[part.name] for part in fields(Record)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(
            f"{path} is no result of a study ({error!r}); move it away to make it again"
        ) from error


def find_records(folder: Path, cells: Sequence[Cell]) -> dict[str, Record]:
    """The finished cells among those asked for, by their fingerprint.

    A result counts by its settings and not by its name, so that axes may be added to a grid.
    Settings that its version didn't know yet are filled up with today's defaults.

    Raises:
        StudyError: A result has a cell's name and other settings; the sentence says which.
    """
    wanted = {cell.fingerprint for cell in cells}
    by_name = {cell.name: cell for cell in cells}
    found: dict[str, Record] = {}
    others: dict[Path, Mapping[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        record = read_record(path)
        settings = _today(record)
        key = fingerprint(settings)
        if key in wanted:
            found[key] = record
        else:
            others[path] = settings
    for path, settings in others.items():
        cell = by_name.get(path.stem)
        if cell is not None and cell.fingerprint not in found:
            raise StudyError(_changed(path, cell, settings))
    return found


def _today(record: Record) -> dict[str, Any]:
    """The deciding settings of a result, with today's defaults for what it lacks."""
    try:
        return recorded(CellSettings, record.settings).deciding()
    except ValidationError:
        return {"fingerprint": record.fingerprint}


def _changed(path: Path, cell: Cell, there: Mapping[str, Any]) -> str:
    now = cell.settings.deciding()
    differences = [
        f"{name} is {there.get(name, 'not set')} there and {now.get(name, 'not set')} now"
        for name in {**there, **now}
        if there.get(name) != now.get(name)
    ]
    return (
        f"{path} holds this cell with another recipe: {', '.join(differences[:5])}; move it away, "
        f"or give another results= and work="
    )
