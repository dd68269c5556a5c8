"""The human segmentations of the Berkeley segmentation data set (BSDS300 and BSDS500).

    photos/a/b.jpg  →  DIR/a/b.mat

A file holds a cell array `groundTruth` of one structure a person, whose field `Segmentation` is
a map of regions, numbered from 1 (Arbelaez et al., PAMI 2011). Regions have no classes.
"""

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from detcon.formats.errors import AnnotationError, NotAnnotated
from detcon.formats.format import Format
from detcon.formats.reading.mat_file import open_mat
from detcon.formats.segments import SegmentFiles, SegmentOptions, Segments


def read_segmentations(path: Path, photo: str = "") -> list[Int32[np.ndarray, "y x"]]:
    """Reads the regions that each person marked in a photo: a map of ids for each person.

    Raises:
        NotAnnotated: There is no such file.
        AnnotationError: It holds no human segmentations.
    """
    if not path.is_file():
        raise NotAnnotated(
            f"there is no annotation {path} for the photo {photo}; segmentations of BSDS have "
            f"the photos' own names, in the same subfolders"
        )
    try:
        people = open_mat(path)["groundTruth"]
        maps = [np.asarray(person["Segmentation"]) for (person,) in people]
        sound = maps and all(one.ndim == 2 and one.size and one.dtype.kind in "ui" for one in maps)
    except AnnotationError:
        raise
    except (ValueError, LookupError, TypeError):  # it holds something else
        sound, maps = False, []
    if not sound or len({one.shape for one in maps}) > 1:
        raise AnnotationError(
            f"the annotation {path} holds no human segmentations of BSDS (a cell array "
            f"'groundTruth' of maps 'Segmentation' of one size); copy it again"
        )
    return [one.astype(np.int32) for one in maps]


def open_segments(folder: Path, options: SegmentOptions) -> SegmentFiles:
    """Opens the regions of all people, or of the one that `which` says."""
    return SegmentFiles(folder, ".mat", partial(_load, which=options.which))


def _load(path: Path, photo: str, which: int | None) -> list[Segments]:
    people = read_segmentations(path, photo)
    if which is not None and which >= len(people):
        raise AnnotationError(
            f"{path} has the regions of {len(people)} people, numbered from 0; give a lower which= "
            f"than {which}, or leave it out"
        )
    chosen = people if which is None else [people[which]]
    return [Segments(ids, str(path)) for ids in chosen]


FORMAT = Format(segments=open_segments, options=("which",))
