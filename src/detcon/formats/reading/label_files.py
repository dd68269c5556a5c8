"""Label maps in a file for each photo: labelled folders, VOC, Cityscapes, CamVid, SceneParsing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from jaxtyping import Int16, UInt8

from detcon.formats.errors import AnnotationError
from detcon.formats.format import LabelMaps
from detcon.formats.reading.ids import read_map
from detcon.notes import counted, note
from detcon.photos import Photos, nearest_key, open_photos

Thing = TypeVar("Thing")


@dataclass(frozen=True, eq=False)
class LabelFiles(LabelMaps):
    """Photos with a file of ids each, which a table turns into classes.

    Attributes:
        files: The label file of each photo, by key: a PNG, or SBD's `.mat`.
        names: Of the classes; () where unknown.
        classes: The class of each id in the files, from id 0; 255 means void, -1 that there is no
            such id.
        wrong_id: The end of the message for an id without a class, with `{id}` in it.
    """

    photos: Photos
    files: Mapping[str, Path] = field(repr=False)
    names: tuple[str, ...]
    classes: Int16[np.ndarray, " n"] = field(repr=False)
    wrong_id: str = field(repr=False)

    def labels(self, key: str) -> UInt8[np.ndarray, "y x"]:
        """Reads the class of each pixel. Raises `AnnotationError`."""
        path = self.label_file(key)
        ids = read_map(path, key)
        found = self.classes.take(ids, mode="clip")
        wrong = ids[(found < 0) | (ids < 0) | (ids >= len(self.classes))]
        if wrong.size:
            raise AnnotationError(f"{path} holds {self.wrong_id.format(id=int(wrong.max()))}")
        return found.astype(np.uint8)

    def label_file(self, key: str) -> Path:
        """Where the labels of a photo are. Raises `AnnotationError`."""
        return of_photo(self.photos, self.files, key)


def of_photo(photos: Photos, things: Mapping[str, Thing], key: str) -> Thing:
    """What belongs to a photo. Raises `AnnotationError` if there is no such photo."""
    if key not in things:
        near = nearest_key(key, photos.keys)
        raise AnnotationError(f"there is no photo {key} in {photos.source}{near}")
    return things[key]


def pngs_of(photos: Photos, folder: Path, what: str = "labels", hint: str = "") -> dict[str, Path]:
    """The PNG of each photo, in the same subfolder of `folder`. Raises what `check_files` does."""
    files = {key: folder / PurePosixPath(key).with_suffix(".png") for key in photos.keys}
    check_files(photos, files, what, hint)
    note_unused(photos, files, folder, "*.png")
    return files


def note_unused(photos: Photos, files: Mapping[str, Path], folder: Path, pattern: str) -> None:
    """Notes the files of a folder that belong to no photo: photos may be missing."""
    if others := sorted({*folder.rglob(pattern)} - {*files.values()}):
        note(
            f"{folder}: {counted(len(others), 'file')} not used, since {photos.root} has no such "
            f"photo, the first is {others[0].relative_to(folder)}"
        )


def check_listed(photos: Photos, *, lists_all: bool) -> None:
    """Checks the photos that a file lists, before they are read.

    Raises:
        AnnotationError: Some are missing. Where the file lists all photos of their folder, others
            there are noted.
    """
    missing = [key for key in photos.keys if not photos.path(key).is_file()]
    if missing:
        raise AnnotationError(
            f"{len(missing):,} of {counted(len(photos), 'photo')} that {photos.source} lists "
            f"aren't in {photos.root}, the first is {missing[0]}; copy them there, or take them "
            f"off the list"
        )
    others = sorted({*open_photos(photos.root).keys} - {*photos.keys}) if lists_all else []
    if others:
        note(
            f"{photos.root}: {counted(len(others), 'photo')} not used, which {photos.source} "
            f"doesn't annotate, the first is {others[0]}"
        )


def check_files(
    photos: Photos, files: Mapping[str, Path], what: str = "labels", hint: str = ""
) -> None:
    """Raises an `AnnotationError` if a photo has no file, or shares it with another photo.

    `hint` is the end of the message on a missing file.
    """
    owners: dict[Path, str] = {}
    for key in photos.keys:
        if (other := owners.setdefault(files[key], key)) != key:
            raise AnnotationError(
                f"the photos {other} and {key} of {photos.source} share the {what} {files[key]}; "
                f"rename one of them, and give each its own"
            )
        if not (file := files[key]).is_file():
            alike = file.parent.glob(f"{escape(file.stem)}*")
            near = next((one for one in alike if one != photos.path(key)), None)
            there = "" if near is None else f", but {near.name}, which has another name"
            if near is not None and near.suffix.lower() in (".jpg", ".jpeg", ".jpe", ".jfif"):
                there = f", but {near.name}: a JPEG doesn't keep numbers, export the {what} as PNG"
            raise AnnotationError(
                f"the photo {photos.path(key)} has no {what}: there is no file {file}{there}{hint}"
            )
