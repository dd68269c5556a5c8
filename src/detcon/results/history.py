"""The log of a training run: `metrics.jsonl`, one line a log."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detcon.files import naming, write_whole
from detcon.results import RunError
from detcon.results.lines import read_lines

METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class History:
    """The log of a run: `rows` in the order of their steps, each step once."""

    rows: Sequence[Mapping[str, Any]] = ()

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one quantity, where it was logged and is finite.

        >>> History([{"step": 1, "loss": 2.5}, {"step": 2}]).curve("loss")
        ([1], [2.5])
        """
        pairs = [
            (int(row["step"]), float(row[name]))
            for row in self.rows
            if isinstance(row.get(name), int | float) and math.isfinite(row[name])
        ]
        return [step for step, _ in pairs], [value for _, value in pairs]

    @property
    def seconds(self) -> float:
        """How long the run trained, without the time in which it was stopped; 0 before a log."""
        _, seconds = self.curve("seconds")
        return seconds[-1] if seconds else 0.0


def read_history(folder: Path) -> History:
    """Reads the log of a run; an empty one where there is none.

    A line that was being written when the run was killed is skipped. Of a step that was logged
    twice the last line counts.

    Raises:
        RunError: A line is damaged or has no step.
    """
    path = folder / METRICS
    by_step: dict[int, Mapping[str, Any]] = {}
    for number, row in read_lines(path)[0].items():
        if not isinstance(row.get("step"), int):
            raise RunError(
                f"line {number} of {path} has no whole number 'step'; delete the line, or leave "
                f"the run out"
            )
        by_step[row["step"]] = row
    return History([by_step[step] for step in sorted(by_step)])


class HistoryFile:
    """Writes the log of a run that has made `step` steps; lines of later steps are removed."""

    def __init__(self, folder: Path, *, step: int) -> None:
        self._path = path = folder / METRICS
        kept = [_line(row) for row in read_history(folder).rows if row["step"] <= step]
        write_whole(path, "".join(kept))
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Appends a line of finite figures."""
        with naming(self._path):
            self._file.write(_line({"step": step, **figures}))
            self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row) + "\n"
