"""What a run was made of: an inventory of each folder or file that it read, in `inputs.json`.

An inventory knows its files by their names below the folder, sizes and content, so that a data set
that was moved, or is given by another spelling of its path, is the same.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from detcon.files import write_whole
from detcon.photos import Photos
from detcon.results import RunError

INPUTS = "inputs.json"
_PHOTOS = {".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".heic"}
_WHOLE, _END, _PIECE = 2**18, 2**15, 2**12  # bytes
_MANY = 20_000  # photos, whose pieces take seconds to read


@dataclass(frozen=True)
class Inventory:
    """The files of a folder at one time.

    Attributes:
        files: How many there are.
        digest: Of their names, sizes and content (see `take_inventory`).
        newest: The file that was changed last, and when; for messages.
        photos: Digest of a piece of each photo in a lossy format; "" where there are none, or too
            many, and in inventories of earlier versions.
        marks: Digest of sizes and pieces of some files, for inventories of names alone: two
            collections may have the same names. "" in others.
    """

    files: int
    digest: str
    newest: str = ""
    photos: str = ""
    marks: str = ""


def take_inventory(place: str | Path, *, without: Path | None = None) -> Inventory:
    """Looks at all files of a folder, or at one file; hidden ones are left out.

    Of photos in lossy formats, up to 20,000 of them, a piece in the middle is read. Of other large
    files the two ends are read: a PNG has a checksum of its pixels at its end.

    Args:
        place: The folder or the file; links are followed.
        without: A folder in it that is left out, such as that of the results.
    """
    place, digest = Path(place), hashlib.sha256()
    number, newest, lossy = 0, (0.0, ""), []
    for name, path in _files(place, without):
        status = path.stat()
        digest.update(f"{name}\0{status.st_size}\0".encode(errors="surrogateescape"))
        if path.suffix.lower() in _PHOTOS:
            lossy.append((path, status.st_size // 2))
        else:
            digest.update(_content(path, status.st_size))
        number += 1
        newest = max(newest, (status.st_mtime, name))
    when = datetime.fromtimestamp(newest[0]).isoformat(" ", "minutes")
    photos = hashlib.sha256()
    for path, middle in lossy if len(lossy) <= _MANY else ():
        with path.open("rb") as file:
            file.seek(max(0, middle - _PIECE // 2))
            photos.update(file.read(_PIECE))
    return Inventory(
        number,
        digest.hexdigest(),
        f"{newest[1]}, of {when}" if number else "",
        photos.hexdigest() if 0 < len(lossy) <= _MANY else "",
    )


def photos_inventory(photos: Photos) -> Inventory:
    """Photos by their names, with marks of some: damaged ones may be replaced while a run waits."""
    names = hashlib.sha256()
    for key in photos.keys:
        names.update(f"{key}\0".encode(errors="surrogateescape"))
    return Inventory(len(photos), names.hexdigest(), marks=photos.digest())


def what_changed(before: Inventory, now: Inventory, *, same_place: bool = True) -> str:
    """What differs between two inventories, in words; "" where nothing does.

    `marks` count only where the files lie in another place: there they may be others, here they are
    repaired ones.
    """
    pieces, marks = {before.photos, now.photos} - {""}, {before.marks, now.marks} - {""}
    same_names = (before.files, before.digest) == (now.files, now.digest)
    if same_names and len(pieces) < 2 and (same_place or len(marks) < 2):
        return ""
    newest = f"; the newest is {now.newest}" if now.newest else ""
    if before.files != now.files:
        return f"{before.files} files then, {now.files} now{newest}"
    return f"one or more of its {now.files} files have other names or content{newest}"


def read_inputs(folder: Path) -> dict[str, Inventory]:
    """Reads `inputs.json`; empty where there is none, as in runs of earlier versions.

    Raises:
        RunError: The file is damaged.
    """
    path = folder / INPUTS
    try:
        values = json.loads(path.read_text("utf-8"))
        return {name: Inventory(**value) for name, value in values.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged ({error}); restore it, or remove it") from error


def write_inputs(folder: Path, inputs: Mapping[str, Inventory]) -> None:
    """Writes `inputs.json` in one move."""
    values = {name: asdict(inventory) for name, inventory in inputs.items()}
    write_whole(folder / INPUTS, json.dumps(values, indent=1) + "\n")


def _files(place: Path, without: Path | None) -> Iterator[tuple[str, Path]]:
    """Names and paths, in order; each folder once, however many links lead to it."""
    if place.is_file():
        yield place.name, place
    left_out, seen = None if without is None else without.resolve(), set()
    for folder, folders, files in os.walk(place, followlinks=True):
        here = Path(folder).resolve()
        if here in seen or here == left_out:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            path = Path(folder, name)
            if path.is_file():  # not a link to nothing
                yield path.relative_to(place).as_posix(), path


def _content(path: Path, size: int) -> bytes:
    """A digest of a file, or of its two ends if it is a large picture or data file."""
    with path.open("rb") as file:
        if size <= _WHOLE or path.suffix.lower() in {".json", ".csv", ".txt", ".xml", ".yaml"}:
            return hashlib.file_digest(file, "sha256").digest()
        ends = file.read(_END)
        file.seek(-_END, os.SEEK_END)
        return hashlib.sha256(ends + file.read()).digest()
