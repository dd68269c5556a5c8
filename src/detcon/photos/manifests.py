"""Lists of photos in files: text, CSV and Parquet."""

import csv
import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from detcon.photos.errors import PhotosError

MANIFESTS = (".csv", ".parquet", ".txt")


def read_manifest(path: Path) -> list[str]:
    """The paths in a manifest, sorted; relative to its folder where they are below it.

    Args:
        path: A `.txt` with one path a line, or a `.csv` or `.parquet` with a column `path`.

    Raises:
        PhotosError: If it can't be read, has no such column, lists nothing, or something twice.
    """
    lines = _parquet_paths(path) if path.suffix.lower() == ".parquet" else _text_paths(path)
    folder = path.parent.absolute()
    prefix = f"{folder}/"
    stripped = (line.strip() for line in lines if line)
    keys = sorted(_key(line, folder, prefix) for line in stripped if line)
    if not keys:
        raise PhotosError(f"the manifest {path} lists no photos; write one path a line")
    for one, next_one in pairwise(keys):
        if one == next_one:
            raise PhotosError(f"the manifest {path} lists {one} twice; remove one of the lines")
    return keys


def _text_paths(path: Path) -> Iterable[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PhotosError(f"cannot read the manifest {path}: it is not UTF-8 text") from error
    return _csv_paths(path, text) if path.suffix.lower() == ".csv" else text.splitlines()


def _csv_paths(path: Path, text: str) -> list[str]:
    rows = csv.reader(text.splitlines())
    columns = next(rows, [])
    _check_columns(path, columns)
    column = columns.index("path")
    return [row[column] for row in rows if len(row) > column]


def _parquet_paths(path: Path) -> list[str | None]:
    try:
        with pq.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            column = file.read(["path"])["path"] if "path" in columns else None
            paths = [] if column is None else column.cast(pa.large_string()).to_pylist()
    except Exception as error:  # Arrow has many for a damaged file
        raise PhotosError(
            f"cannot read the manifest {path}: it is no Parquet file with text in a column 'path'; "
            f"write it again"
        ) from error
    _check_columns(path, columns)
    return paths


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    if "path" not in columns:
        raise PhotosError(
            f"the manifest {path} has no column 'path'; its columns are {', '.join(columns)}"
        )


def _key(line: str, folder: Path, prefix: str) -> str:
    below = line.removeprefix(prefix)
    if _is_plain(below):
        return below
    path = Path(os.path.normpath(line))
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _is_plain(line: str) -> bool:
    """Whether a path is relative and needs no resolving, as most do: a fast check."""
    if os.sep != "/" or line.startswith(("/", ".")) or line.endswith("/"):
        return False
    return "//" not in line and "/." not in line
