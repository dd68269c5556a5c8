"""PNG files of ids under the photos' own names, as many programs export them.

    photos/a/b.jpg  →  DIR/a/b.png          a map of ids: 8 or 16 bits, or a palette's indices
                    →  DIR/a/b/*.png        or a PNG for each region; what isn't 0 belongs to it

`detcon convert` writes a map of ids 1, 2, 3 ... (0 belongs to no mask) or, where masks may overlap,
000.png, 001.png ... of 255. 255 is never an id, since most readers take it for void; more than 254
masks take 16 bits.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool, Integer

from detcon.formats.errors import AnnotationError, FormatError, NotAnnotated
from detcon.formats.format import Format
from detcon.formats.reading.ids import read_ids
from detcon.formats.segments import (
    AnySegments,
    OverlappingSegments,
    SegmentFiles,
    SegmentOptions,
    Segments,
    without,
)
from detcon.formats.writing.masks import MasksToWrite, WrittenMasks
from detcon.formats.writing.scenes import write_pixels
from detcon.photos import Names

_VOID, _MOST = 255, 65534


def check_names(keys: Sequence[str], named: Names) -> None:
    """Raises a `FormatError` if the PNG files of two photos would have the same path."""
    stems: dict[str, str] = {}
    for key in keys:
        stem = str(PurePosixPath(named[key]).with_suffix(""))
        if stem in stems:
            raise FormatError(
                f"cannot write PNG files: {stems[stem]} and {key} would share {stem}.png; use "
                "to=coco"
            )
        stems[stem] = key
    for key in keys:
        for parent in map(str, PurePosixPath(named[key]).parents):
            if parent in stems:
                raise FormatError(
                    f"cannot write PNG files: the masks of {stems[parent]} would go into the "
                    f"folder of {key}; use to=coco"
                )


def write_pngs(masks: MasksToWrite, out: Path, named: Names, keys: Sequence[str]) -> int:
    """Writes the files of the photos `keys`; those that are there are left as they are.

    Returns:
        The number of photos whose files were written.

    Raises:
        FormatError: A photo has more masks than there are ids.
    """
    written = 0
    for key in keys:
        path = out / PurePosixPath(named[key]).with_suffix(".png")
        first = path.with_suffix("") / "000.png"
        if path.exists() or first.exists():
            continue
        written += 1
        found = masks[key].at_size()
        stack = _not_empty(found)
        if stack is None:
            write_pixels(path, _ids(found, key))
            continue
        for number in reversed(range(len(stack))):  # the first comes last: then all are there
            write_pixels(first.with_name(f"{number:03d}.png"), stack[number].astype(np.uint8) * 255)
    return written


def _not_empty(masks: WrittenMasks) -> Bool[np.ndarray, "k y x"] | None:
    """The masks that may overlap and aren't empty; None if there are none."""
    if masks.membership is None:
        return None
    stack = masks.stack()
    kept = stack.any((1, 2))
    return stack[kept] if kept.any() else None


def _ids(masks: WrittenMasks, key: str) -> Integer[np.ndarray, "y x"]:
    if masks.membership is not None:
        return np.zeros(masks.size, np.uint8)
    ids = masks.ids
    if len(ids) > _MOST:
        raise FormatError(
            f"cannot write {key} as PNG: it has {len(ids)} masks, and 16 bits hold {_MOST}; use "
            f"to=coco"
        )
    values = np.arange(1, len(ids) + 1)
    values += values >= _VOID
    places = np.searchsorted(ids, masks.patterns)
    found = np.append(values, 0)[np.where(masks.patterns < 0, len(ids), places)]
    return found.astype(np.uint8 if len(ids) < _VOID else np.uint16)


def open_segments(folder: Path, options: SegmentOptions) -> SegmentFiles:
    """Opens a folder of PNG files of ids, or of folders of PNG files."""
    load = partial(_load, ignore=options.ignore)
    return SegmentFiles(folder, ".png", load, or_folder=True)


def _load(path: Path, photo: str, ignore: int | None) -> list[AnySegments]:
    if path.is_dir():
        return [_load_pictures(path, photo)]
    ids = without(read_ids(path, photo), ignore)
    return [Segments(ids, str(path), unmarked=(0,), keep_ids=True)]


def _load_pictures(folder: Path, photo: str) -> OverlappingSegments:
    files = sorted(folder.glob("*.png"))
    if not files:
        raise NotAnnotated(f"there is no PNG in {folder} for the photo {photo}")
    pictures = [read_ids(file, photo) != 0 for file in files]
    for file, picture in zip(files, pictures, strict=True):
        if picture.shape != pictures[0].shape:
            (height, width), (rows, columns) = pictures[0].shape, picture.shape
            raise AnnotationError(
                f"the masks {files[0]} and {file} of one photo have {height} x {width} and "
                f"{rows} x {columns} pixels, but must match; correct or "
                f"remove one"
            )
    num = len(files)
    return OverlappingSegments(
        np.stack(pictures), str(folder), np.arange(num), np.zeros(num, bool), has_background=False
    )


FORMAT = Format(segments=open_segments, options=("ignore", "background"))
