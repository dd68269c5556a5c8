"""Lists the photos of a folder, a manifest, or tars."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from glob import glob, has_magic
from itertools import pairwise, takewhile
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
from braceexpand import braceexpand

from detcon.files import copy_again, is_pointer, read_text
from detcon.notes import counted, note
from detcon.photos.collection import Keys, Photos
from detcon.photos.errors import PhotosError, UnreadablePhoto
from detcon.photos.kinds import BAND_EXTENSIONS, EXTENSIONS, Chooser, has_extension, tell_label_maps
from detcon.photos.tars import list_tars

_MANIFESTS, _TAR = (".csv", ".parquet", ".txt"), ".tar"
_VOC_PHOTOS = "../../JPEGImages"  # of a list in a folder of ImageSets
_LOOKED_AT = 16  # photos of a collection, to see whether Git LFS has fetched it


def open_photos(source: str | Path, channels: int = 3) -> Photos:
    """Lists the photos of a folder and all its subfolders, of a manifest, or of tars.

    Hidden files and folders, and those of systems (thumbnails, deleted files), are left out, and
    so are photos of kinds that can't be decoded: one sentence on stderr counts them. Links to
    folders are followed, each folder once.
    What looks like label maps of other photos is kept, and a sentence counts it.
    A manifest is a `.txt` with one path a line, or a `.csv` or `.parquet` with a column `path`;
    its paths are relative to the manifest's own folder. Names without extension in a folder of
    VOC's `ImageSets` are photos of `JPEGImages` beside that. Tars are given as a folder that holds
    them and no photos, as a single one, or as a pattern, `shards/*.tar` or
    `shards/{000..127}.tar`; each tar that braces name has to be there.

    Args:
        source: The folder, manifest, tar or pattern.
        channels: Of the photos: 3 for RGB, 1 for grey, else bands, as `decode` has it.

    Raises:
        PhotosError: No such folder or file, nothing in it, or a kind that isn't understood.
    """
    path, extensions = Path(source), EXTENSIONS if channels in (1, 3) else BAND_EXTENSIONS
    if path.is_dir():
        chooser = Chooser(extensions)
        keys = sorted(_walk(path, chooser))
        if keys:
            chooser.report(source, len(keys))
            tell_label_maps(source, keys)
            return _fetched(Photos(str(source), str(path), Keys(keys), channels))
        tars = [path / name for name in sorted(_walk(path, Chooser((_TAR,))))]
        if not tars:
            chooser.report(source, 0)
            raise PhotosError(
                f"there are no photos in the folder {path}: looked in it and in all its "
                f"subfolders for {', '.join(extensions)}, and for {_TAR}"
            )
        return _in_tars(source, tars, path, channels, extensions)
    if not path.exists():
        if tars := _matching(str(source)):
            return _in_tars(source, tars, _root(path), channels, extensions)
        raise PhotosError(f"there is no folder or manifest {path}; check the path")
    if path.suffix.lower() == _TAR:
        return _in_tars(source, [path], path.parent, channels, extensions)
    if path.suffix.lower() not in _MANIFESTS:
        raise PhotosError(
            f"cannot list photos from {path}: give a folder, a .txt with one path a line, "
            f"a .csv or .parquet with a column 'path', or uncompressed tars"
        )
    return _fetched(_listed(source, path, channels))


def check_outside(out: str | Path, images: str | Path) -> None:
    """Refuses an `out` within the folder of photos, where its pictures would count as photos.

    Hidden folders there are no matter: no photos are looked for in them.

    Raises:
        PhotosError: It lies there.
    """
    place, root = Path(out).resolve(), Path(images).resolve()
    if not root.is_dir() or not place.is_relative_to(root):
        return
    if any(part.startswith(".") for part in place.relative_to(root).parts):
        return
    raise PhotosError(
        f"out={out} lies among the photos of {images}, where pictures that are written would be "
        f"taken for photos later; give an out= beside it"
    )


def _in_tars(
    source: str | Path, tars: Sequence[Path], root: Path, channels: int, extensions: tuple[str, ...]
) -> Photos:
    for tar in tars:
        if tar.suffix.lower() != _TAR:
            raise PhotosError(f"the pattern {source} names {tar}, which is no {_TAR}; name tars")
    chooser = Chooser(extensions)
    keys, members = list_tars(tars, root, chooser)
    chooser.report(source, len(keys))
    if not keys:
        raise PhotosError(
            f"there are no photos in {source}: looked in the tars for {', '.join(extensions)}"
        )
    return _fetched(Photos(str(source), str(root), Keys(keys), channels, members))


def _fetched(photos: Photos) -> Photos:
    """The photos themselves. Raises `PhotosError` if Git LFS has fetched none of them."""
    some = photos.keys[:: max(1, len(photos) // _LOOKED_AT)]
    if all(_is_pointer(photos, key) for key in some):  # the first photo mostly ends it
        raise PhotosError(
            f"the photos of {photos.source} are pointers of Git LFS, the first is "
            f"{photos.path(some[0])}; run git lfs pull"
        )
    return photos


def _is_pointer(photos: Photos, key: str) -> bool:
    try:
        return is_pointer(photos.data(key))
    except UnreadablePhoto:
        return False


def _matching(pattern: str) -> list[Path]:
    """The files that match a pattern, sorted; none if nothing matches."""
    try:
        names = list(braceexpand(pattern, escape=False))
    except ValueError:  # unbalanced braces
        names = [pattern]  # as bash does
    found = {name: glob(name, recursive=True) for name in names}
    missing = [name for name in names if not found[name]]
    if missing and len(names) > 1:
        raise PhotosError(
            f"of the {len(names)} tars that {pattern} names, {len(missing)} are missing, the first "
            f"is {missing[0]}; copy them there, or change the range"
        )
    return sorted({Path(path) for paths in found.values() for path in paths})


def _root(pattern: Path) -> Path:
    """The folder before the first wildcard or brace."""
    plain = takewhile(lambda part: not has_magic(part) and "{" not in part, pattern.parent.parts)
    return Path(*plain)


def _listed(source: str | Path, path: Path, channels: int) -> Photos:
    """The photos of a manifest; by their names alone where it is one of VOC's `ImageSets`."""
    keys = _read_manifest(path)
    if any(has_extension(key) or (path.parent / key).exists() for key in keys):
        return Photos(str(source), str(path.parent), Keys(keys), channels)
    folder = Path(os.path.normpath(path.parent / _VOC_PHOTOS))
    is_voc = path.absolute().parent.parent.name == "ImageSets" and folder.is_dir()
    names = os.listdir(folder) if is_voc else []
    by_stem = {name.rpartition(".")[0]: name for name in sorted(names) if has_extension(name)}
    if not by_stem.keys() & {*keys}:
        raise PhotosError(
            f"the manifest {path} lists names without the extension of a photo, the first is "
            f"{keys[0]}; write paths with their extension, relative to {path.parent}, or give the "
            f"folder of the photos in its place"
        )
    note(f"{path}: {counted(len(keys), 'photo')} of {folder}, listed without extension")
    found = sorted(by_stem.get(key, f"{key}.jpg") for key in keys)
    return Photos(str(source), str(folder), Keys(found), channels)


def _walk(root: Path, chooser: Chooser) -> Iterator[str]:
    def passed_over(error: OSError) -> None:
        if error.filename == str(root):
            raise PhotosError(f"cannot list the folder {root}: {error.strerror}") from error
        chooser.unlisted.append(f"{error.filename} ({error.strerror})")

    seen = set()
    for folder, subfolders, files in os.walk(root, onerror=passed_over, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(filter(chooser.enters, subfolders))
        relative = PurePosixPath(Path(folder).relative_to(root).as_posix())
        yield from (str(relative / name) for name in files if chooser.takes(name))


def _read_manifest(path: Path) -> list[str]:
    """The paths in a manifest, sorted; relative to its folder where they are below it."""
    lines = _parquet_paths(path) if path.suffix.lower() == ".parquet" else _text_paths(path)
    prefix = f"{os.path.normpath(path.parent.absolute())}{os.sep}"

    def key_of(line: str) -> str:
        inside = os.path.normpath(prefix + line) if line.startswith("..") else ""
        found = inside if inside.startswith(prefix) else os.path.normpath(line)
        return found.removeprefix(prefix).replace(os.sep, "/")

    keys = sorted(key_of(line.strip()) for line in lines if line and line.strip())
    if not keys:
        raise PhotosError(f"the manifest {path} lists no photos; write one path a line")
    for one, next_one in pairwise(keys):
        if one == next_one:
            raise PhotosError(f"the manifest {path} lists {one} twice; remove one of the lines")
    return keys


def _text_paths(path: Path) -> Iterable[str]:
    try:
        text = read_text(path)
    except ValueError as error:
        raise PhotosError(f"cannot read the manifest {path}: {error}") from error
    if path.suffix.lower() == ".csv":
        return _csv_paths(path, text)
    # not splitlines: names may hold other characters that it takes for the end of a line
    return text.split("\n" if "\n" in text else "\r")


def _csv_paths(path: Path, text: str) -> list[str]:
    rows = csv.reader(io.StringIO(text))  # not line by line: names in quotes may hold newlines
    try:
        columns = next(rows, [])
        _check_columns(path, columns)
        column = columns.index("path")
        paths = []
        for row in (one for one in rows if any(map(str.strip, one))):
            if len(row) <= column:
                raise csv.Error(f"line {rows.line_num} has no column 'path'")
            paths.append(row[column])
        return paths
    except csv.Error as error:
        raise PhotosError(f"cannot read the manifest {path}: {error}") from error


def _parquet_paths(path: Path) -> list[str | None]:
    try:
        with pq.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            column = file.read(["path"])["path"] if "path" in columns else None
            paths = [] if column is None else column.cast(pa.large_string()).to_pylist()
    except Exception as error:  # Arrow has many for a damaged file
        raise PhotosError(
            f"cannot read the manifest {path}: it is no Parquet file with text in a column 'path'; "
            f"{copy_again(path, otherwise='write it again')}"
        ) from error
    _check_columns(path, columns)
    return paths


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    if "path" not in columns:
        way_out = "call the one of the photos so"
        if len(columns) == 1 and (other := next((one for one in ";\t" if one in columns[0]), "")):
            way_out = f"separate columns by commas, not by {other!r}"
        raise PhotosError(
            f"the manifest {path} has no column 'path'; its columns are {', '.join(columns)}; "
            f"{way_out}"
        )
