"""Label maps in a file for each photo: labelled folders, VOC, Cityscapes, CamVid, SceneParsing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int16, UInt8

from detcon.formats.errors import AnnotationError
from detcon.formats.format import LabelMaps
from detcon.formats.reading.ids import read_map
from detcon.photos import Photos, nearest_key


@dataclass(frozen=True, eq=False)
class LabelFiles(LabelMaps):
    """Photos with a file of ids each, which a table turns into classes.

    Attributes:
        photos: The photos; their keys.
        files: The label file of each photo, by key: a PNG, or SBD's `.mat`.
        names: Of the classes; () where unknown.
        classes: The class of each id in the files, from id 0; 255 means void, -1 that there is no
            such id.
        complaint: The end of the message for an id without a class, with `{id}` in it.
    """

    photos: Photos
    files: Mapping[str, Path] = field(repr=False)
    names: tuple[str, ...]
    classes: Int16[np.ndarray, " n"] = field(repr=False)
    complaint: str = field(repr=False)

    def labels(self, key: str) -> UInt8[np.ndarray, "y x"]:
        """Reads the class of each pixel. Raises `AnnotationError`."""
        path = self.label_file(key)
        ids = read_map(path, key)
        found = self.classes.take(ids, mode="clip")
        wrong = ids[(found < 0) | (ids < 0) | (ids >= len(self.classes))]
        if wrong.size:
            raise AnnotationError(f"{path} holds {self.complaint.format(id=int(wrong.max()))}")
        return found.astype(np.uint8)

    def label_file(self, key: str) -> Path:
        """Where the labels of a photo are. Raises `AnnotationError`."""
        return file_of(self.photos, self.files, key)


def file_of(photos: Photos, files: Mapping[str, Path], key: str) -> Path:
    """The file of a photo. Raises `AnnotationError` if there is no such photo."""
    if key not in files:
        near = nearest_key(key, photos.keys)
        raise AnnotationError(f"there is no photo {key} in {photos.source}{near}")
    return files[key]


def check_files(photos: Photos, files: Mapping[str, Path], missing: str) -> None:
    """Checks that each photo has its label file.

    Args:
        photos: The photos.
        files: The label file of each.
        missing: How the message of a missing file ends.

    Raises:
        AnnotationError: A file isn't there.
    """
    for key in photos.keys:
        if not files[key].is_file():
            raise AnnotationError(
                f"the photo {photos.path(key)} has no labels: there is no file "
                f"{files[key]}{missing}"
            )
