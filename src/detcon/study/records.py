"""The results of a study: one line a finished cell, in one file a study.

The same settings give the same line on every machine, except for times and the machine itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detcon.config import fingerprint, recorded
from detcon.notes import counted, say
from detcon.results import RunError
from detcon.results.lines import append_line, parse_object, read_lines
from detcon.results.recipe import differences
from detcon.study import StudyError
from detcon.study.cell import Cell, CellSettings
from detcon.study.grid import Point


@dataclass(frozen=True)
class Record:
    """A finished cell.

    Attributes:
        cell: The value on each axis.
        command: Repeats it; DIR stands for folders of the user.
        pairs: Pairs of views that pretraining saw.
        overlap: The average best overlap of its masks with the true ones, if the study asks for it.
        seconds: Of `pretrain` (0 for none) and `transfer`.
        masks: Where the overlap was measured, what else was: the `number` of masks of a photo, and
            the mean `area` of one, as a share of the photo. Results of earlier versions lack it.
        settings: All settings of the cell, with names in place of paths.
        embeddings: How its pretraining left them: `embedding_std`, `effective_rank` and `accuracy`
            at the last log (`detcon.pretraining.collapse`). Results of earlier versions lack it.
        inputs: Inventories of the user's folders that it learnt from: `data` of the transfer and
            `images` of the pretraining. Results of earlier versions lack it.
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
    masks: Mapping[str, float | None] | None = None
    embeddings: Mapping[str, float] | None = None
    inputs: Mapping[str, Mapping[str, Any]] | None = None


def append_record(path: Path, record: Record) -> None:
    """Appends a record to a file of results. Several processes may append to one file."""
    append_line(path, asdict(record))


def read_records(path: Path) -> dict[str, Record]:
    """Reads all records of a file of results; the keys say where each one is, for messages.

    An earlier version wrote one JSON a cell into a folder, `NAME/` for `NAME.jsonl`. These are
    read too, first. A torn last line is skipped and reported: its cell runs again.
    """
    try:
        lines, is_torn = read_lines(path)
    except RunError as error:
        raise StudyError(f"{error} (results of a study)") from error
    if is_torn:
        say(f"the last line of {path} is torn and is skipped; its cell runs again")
    remedy = "move it away to run its cell again"
    try:
        files = sorted(path.with_suffix("").glob("*.json"))
        found = {str(file): parse_object(file, remedy) for file in files}
    except RunError as error:
        raise StudyError(f"{error} (no result of a study)") from error
    if files:
        say(f"{path.with_suffix('')}: {counted(len(files), 'result')} of an earlier version read")
    found |= {f"line {number} of {path}": values for number, values in lines.items()}
    return {place: _record(place, values) for place, values in found.items()}


def find_records(path: Path, cells: Sequence[Cell]) -> dict[str, Record]:
    """The finished cells among those asked for, by their fingerprint.

    Results are matched by their settings, not by their names, so axes may be added to a grid.
    Settings that the version of a result didn't know get today's defaults. The last record of a
    cell counts.
    """
    wanted = {cell.fingerprint for cell in cells}
    by_name = {cell.name: cell for cell in cells}
    found: dict[str, Record] = {}
    others: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for place, record in read_records(path).items():
        settings = _today(record)
        key = fingerprint(settings)
        if key in wanted:
            found[key] = record
        else:
            others[place] = Point(record.cell, {}).name, settings
    for place, (name, settings) in others.items():
        cell = by_name.get(name)
        if cell is not None and cell.fingerprint not in found:
            differing = differences(settings, cell.settings.deciding())
            raise StudyError(
                f"{place} holds the cell {name} with another recipe: {', '.join(differing[:5])}; "
                f"move it away, or give another results= and work="
            )
    return found


def _record(place: str, values: Any) -> Record:
    try:
        later = {name: values.get(name) for name in ("masks", "embeddings", "inputs")}
        known = {one.name: values[one.name] for one in fields(Record) if one.name not in later}
        return Record(**known, **later)
    except (KeyError, TypeError) as error:
        raise StudyError(
            f"{place} is no result of a study ({error!r}); move it away to make it again"
        ) from error


def _today(record: Record) -> dict[str, Any]:
    """The deciding settings of a result, with today's defaults for what it lacks."""
    try:
        return recorded(CellSettings, record.settings).deciding()
    except ValidationError:
        return {"fingerprint": record.fingerprint}
