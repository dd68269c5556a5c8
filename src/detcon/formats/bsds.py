"""The human segmentations of the Berkeley segmentation data set (BSDS300 and BSDS500).

A file holds a cell array `groundTruth` of one structure a person, whose field `Segmentation` is
a map of regions, numbered from 1 (Arbelaez et al., PAMI 2011).
"""

from pathlib import Path

import numpy as np
from jaxtyping import Int32

from detcon.formats.errors import AnnotationError
from detcon.formats.reading.mat_file import read_mat


def read_segmentations(path: Path, photo: str = "") -> list[Int32[np.ndarray, "y x"]]:
    """Reads the regions that each person marked in a photo.

    Args:
        path: The `.mat` file.
        photo: The photo it belongs to, for messages.

    Returns:
        A map of ids for each person; every pixel has one.

    Raises:
        AnnotationError: There is no such file, or it holds no human segmentations.
    """
    if not path.is_file():
        raise AnnotationError(
            f"there is no annotation {path} for the photo {photo}; segmentations of BSDS have "
            f"the photos' own names, in the same subfolders"
        )
    try:
        people = read_mat(path.read_bytes())["groundTruth"]
        maps = [np.asarray(person["Segmentation"]) for (person,) in people]
        sound = maps and all(one.ndim == 2 and one.size and one.dtype.kind in "ui" for one in maps)
    except (ValueError, LookupError, TypeError):  # no MAT file, or one that holds something else
        sound, maps = False, []
    if not sound or len({one.shape for one in maps}) > 1:
        raise AnnotationError(
            f"the annotation {path} holds no human segmentations of BSDS (a cell array "
            f"'groundTruth' of maps 'Segmentation' of one size); copy it again"
        )
    return [one.astype(np.int32) for one in maps]
