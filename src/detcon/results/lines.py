"""Files of JSON objects: one object, or one a line.

Whole lines are appended; a last line that was cut off is skipped.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from detcon.files import lock, naming, sync
from detcon.results import RunError

_BLOCK = 1 << 16  # bytes


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

    def parse(number: int, line: str) -> dict[str, Any]:
        remedy = "delete the line, or leave the file out"
        return _parsed(line, f"line {number} of {path}", remedy)

    rows = {number: parse(number, line) for number, line in enumerate(lines, 1) if line.strip()}
    if not last.strip():
        return rows, False
    try:
        end = len(lines) + 1
        return rows | {end: parse(end, last)}, False
    except RunError:
        return rows, True


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Appends an object as one line. Several processes of one machine may append to one file.

    A torn last line is removed first. The line is on the disk when this returns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        line = json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # names of files need not be text
        line = json.dumps(row).encode()
    with naming(path), path.open("a+b") as file:
        lock(file)
        _remove_torn_end(file)
        file.write(line + b"\n")
        file.flush()
        sync(file.fileno())


def _remove_torn_end(file: BinaryIO) -> None:
    """Cuts off what follows the last line break; reads no more than the last line."""
    end = size = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        place = file.read(end - start).rfind(b"\n")
        end = start if place < 0 else start + place + 1
        if place >= 0:
            break
    if end < size:
        file.truncate(end)


def parse_object(path: Path, remedy: str) -> dict[str, Any]:
    """Reads a file that holds one object.

    Raises:
        RunError: It can't be read, or holds something else; the message ends with the remedy.
    """
    try:
        return _parsed(path.read_text("utf-8"), str(path), remedy)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise RunError(f"cannot read {path}: {reason}; {remedy}") from error


def _parsed(text: str, place: str, remedy: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise RunError(f"{place} is not JSON: {error}; {remedy}") from error
    if not isinstance(values, dict):
        raise RunError(f"{place} holds no names and values; {remedy}")
    return values
