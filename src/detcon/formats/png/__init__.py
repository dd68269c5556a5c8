"""PNG files of ids under the photos' own names, as many programs export them.

photos/a/b.jpg  →  DIR/a/b.png          a map of ids: 8 or 16 bits, or a palette's indices
                →  DIR/a/b/*.png        or a PNG for each region; what isn't 0 belongs to it
"""

from functools import partial
from pathlib import Path

import numpy as np

from detcon.formats.errors import AnnotationError, NotAnnotated
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
                f"{rows} x {columns} pixels; they must match"
            )
    num = len(files)
    return OverlappingSegments(
        np.stack(pictures), str(folder), np.arange(num), np.zeros(num, bool), has_background=False
    )


FORMAT = Format(segments=open_segments, options=("ignore", "background"))
