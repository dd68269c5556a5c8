"""Files with one JSON object a line: whole lines are appended, a torn last line is skipped."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from detcon.results import RunError


def read_lines(path: Path) -> tuple[dict[int, dict[str, Any]], bool]:
    """Reads all objects of a file; none where there is no file.

    Returns:
        The objects by the number of their line, and whether the last line was skipped: it has no
        end, because its writer was killed.

    Raises:
        RunError: Any other line is no JSON object.
    """
    if not path.is_file():
        return {}, False
    *lines, last = path.read_text("utf-8", errors="replace").split("\n")
    rows = {n: _parse(path, n, line) for n, line in enumerate(lines, 1) if line.strip()}
    if not last.strip():
        return rows, False
    try:
        end = len(lines) + 1
        return rows | {end: _parse(path, end, last)}, False
    except RunError:
        return rows, True


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Appends an object as one line. Several processes of one machine may append to one file.

    A torn last line is removed first. The line is on the disk when this returns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(row, ensure_ascii=False) + "\n"
    with path.open("a+b") as file:
        _lock(file)
        _remove_torn_end(file)
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    remedy = "delete the line, or leave the file out"
    try:
        row = json.loads(line)
    except ValueError as error:
        raise RunError(f"line {number} of {path} is not JSON: {error}; {remedy}") from error
    if not isinstance(row, dict):
        raise RunError(f"line {number} of {path} holds no names and values; {remedy}")
    return row


def _lock(file: BinaryIO) -> None:
    """Waits until no other process appends. The lock goes when the file is closed."""
    if os.name == "posix":
        import fcntl  # there is none on Windows

        fcntl.flock(file, fcntl.LOCK_EX)


def _remove_torn_end(file: BinaryIO) -> None:
    file.seek(0)
    written = file.read()
    if not written.endswith(b"\n"):
        file.truncate(written.rfind(b"\n") + 1)
