"""What people marked in a photo, as masks, from files of any format that is known."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Integer

from detcon.annotations.coco import CocoObjects
from detcon.annotations.coco_panoptic import CocoPanoptic
from detcon.annotations.errors import AnnotationError, NotAnnotated
from detcon.annotations.fh_records import FhRecords
from detcon.annotations.label_maps import read_ids
from detcon.annotations.photo_paths import PhotoPaths
from detcon.masks.masks import Masks


@dataclass(frozen=True)
class Annotation:
    """The masks of a photo, and where they were found.

    Attributes:
        masks: None of them is empty; there may be none.
        place: How messages call it: a file, or an image of a file.
    """

    masks: Masks
    place: str


@runtime_checkable
class AnnotationSource(Protocol):
    """Annotations by the keys of photos.

    Reading raises `NotAnnotated` where there is none, and `AnnotationError` where it can't be
    used.
    """

    def read(self, key: str) -> Annotation: ...


Ids = Integer[np.ndarray, "y x"]
"""A map of ids; negative where a pixel belongs to no mask."""


@dataclass(frozen=True, eq=False)
class AnnotatedFiles:
    """A file for each photo.

    Attributes:
        find: The file of a photo, by its key.
        load: The masks in a file, of a photo.
    """

    find: Callable[[str], Path]
    load: Callable[[Path, str], Masks]

    def read(self, key: str) -> Annotation:
        """The masks of a photo. Raises what `find` and `load` do."""
        path = self.find(key)
        return Annotation(self.load(path, key), str(path))


@dataclass(frozen=True, eq=False)
class AnnotatedObjects:
    """The objects of a COCO file, which may overlap.

    Attributes:
        objects: The reader.
        paths: The photos' paths: their file names, behind `folder`.
        folder: "" or a folder and a slash.
        merged: Whether all objects of a class are one mask.
        crowd: Whether a crowd is a mask as well.
        background: Whether all that belongs to nothing is a mask as well, the last.
    """

    objects: CocoObjects
    paths: PhotoPaths
    folder: str
    merged: bool
    crowd: bool
    background: bool

    def read(self, key: str) -> Annotation:
        """The masks of a photo, in the order of the file, or of classes.

        Raises:
            NotAnnotated: The file doesn't know the photo.
            AnnotationError: A run-length code is damaged, or there are boxes alone.
        """
        path, place = _listed(self.paths, key, str(self.objects.annotations))
        found = self.objects.objects(path.removeprefix(self.folder))
        if len(found.segments) < len(found):
            raise AnnotationError(
                f"{self.objects.annotations} holds boxes without a 'segmentation'; masks need one"
            )
        drawn = found.masks()
        free = ~drawn.any(0)
        kept = ~found.crowd | self.crowd
        stack, classes = drawn[kept], found.classes[kept]
        if self.merged:
            stack = [stack[classes == label].any(0) for label in np.unique(classes)]
        if self.background:
            stack = [*stack, free]
        return Annotation(_stacked(np.reshape(stack, (-1, *found.size)), found.size), place)


@dataclass(frozen=True, eq=False)
class AnnotatedSegments:
    """The segments of a panoptic COCO file.

    Attributes:
        segments: The reader.
        paths: The photos' paths: their file names, behind `folder`.
        folder: "" or a folder and a slash.
        merged: Whether all segments of a class are one mask.
        crowd: Whether a crowd is a mask as well.
    """

    segments: CocoPanoptic
    paths: PhotoPaths
    folder: str
    merged: bool
    crowd: bool

    def read(self, key: str) -> Annotation:
        """The masks of a photo, in the order of the segments' ids, or of classes.

        Raises:
            NotAnnotated: The file doesn't know the photo.
            AnnotationError: The map is missing or damaged.
        """
        path, place = _listed(self.paths, key, str(self.segments.annotations))
        found = self.segments.segments(path.removeprefix(self.folder))
        order = np.argsort(found.numbers)
        numbers = np.append(found.numbers[order], np.iinfo(np.int64).max)  # for id 0 alone
        ids = found.classes[order] if self.merged else np.arange(len(order))
        ids = np.append(np.where(found.crowd[order] & ~self.crowd, -1, ids), -1)
        places = np.searchsorted(numbers, found.ids)
        return Annotation(numbered(np.where(found.ids == 0, -1, ids[places])), place)


@dataclass(frozen=True, eq=False)
class AnnotatedRecords:
    """The records of the official script.

    Attributes:
        records: The reader.
        which: Which of the settings of a photo's maps, from 0.
        ignore: The id that belongs to no mask, if there is one.
    """

    records: FhRecords
    which: int
    ignore: int | None

    def read(self, key: str) -> Annotation:
        """The masks of a photo, in the order of ids.

        Raises:
            NotAnnotated: There is no record of the photo.
            AnnotationError: It is damaged, or has fewer settings.
        """
        maps = self.records.maps(key)
        if self.which >= len(maps):
            raise AnnotationError(
                f"the record of {key} in {self.records.folder} has {len(maps)} maps, numbered from "
                f"0; give a lower which= than {self.which}"
            )
        ids = maps[self.which].astype(np.int16)
        masks = numbered(ids if self.ignore is None else np.where(ids == self.ignore, -1, ids))
        return Annotation(masks, f"of {key} in {self.records.folder}")


def beside(folder: Path, suffix: str) -> Callable[[str], Path]:
    """Finds a photo's file in the same subfolder of `folder`, under the photo's stem."""

    def find(key: str) -> Path:
        path = Path(folder, key)
        return path.with_name(path.stem + suffix)

    return find


def listed(files: dict[str, Path], source: str) -> Callable[[str], Path]:
    """Finds a photo's file in a list.

    Args:
        files: The files by the photos' paths in the data set.
        source: How messages call the data set.
    """
    paths = PhotoPaths(files)

    def find(key: str) -> Path:
        return files[_listed(paths, key, source)[0]]

    return find


def read_ids_or_pictures(path: Path, photo: str, none: tuple[int | None, int | None]) -> Masks:
    """Reads a PNG of ids or, where there is a folder of its name instead, a PNG for each mask.

    Args:
        path: `a/b.png`; or the pictures are `a/b/*.png`, in the order of their names, and whatever
            isn't 0 belongs to the mask.
        photo: The photo it belongs to, for messages.
        none: The ids that mean no mask.

    Raises:
        NotAnnotated: There is neither.
        AnnotationError: A file is no PNG of one channel, or the pictures differ in size.
    """
    folder = path.with_suffix("")
    if path.is_file() or not folder.is_dir():
        ids = read_ids(path, photo=photo)
        return Masks.from_labels(
            np.where(np.isin(ids, [v for v in none if v is not None]), -1, ids)
        )
    files = sorted(folder.glob("*.png"))
    if not files:
        raise NotAnnotated(f"there is no PNG in {folder} for the photo {photo}")
    pictures = [read_ids(file, photo=photo) != 0 for file in files]
    for file, picture in zip(files, pictures, strict=True):
        if picture.shape != pictures[0].shape:
            raise AnnotationError(
                f"the masks {files[0]} and {file} of one photo have {_by(pictures[0].shape)} and "
                f"{_by(picture.shape)} pixels; they must match"
            )
    height, width = pictures[0].shape
    return _stacked(np.stack(pictures), (height, width))


def numbered(ids: Ids) -> Masks:
    """Disjoint masks of the ids that aren't negative, numbered anew from 0 in their order."""
    found, places = np.unique(ids, return_inverse=True)
    return Masks.from_labels((places - np.count_nonzero(found < 0)).reshape(ids.shape))


def _stacked(stack: Bool[np.ndarray, "k y x"], size: tuple[int, int]) -> Masks:
    kept = np.array([mask.any() for mask in stack], bool)
    if not kept.any():
        return Masks.from_labels(np.full(size, -1))
    return Masks.from_stack(stack if kept.all() else stack[kept])


def _listed(paths: PhotoPaths, key: str, source: str) -> tuple[str, str]:
    """The path of a photo in a data set, and how messages call its annotation."""
    path = paths.find(key)
    if path is None:
        example = next(iter(paths), "")
        raise NotAnnotated(
            f"the photo {key} is not annotated in {source}, which knows photos such as {example}"
        )
    return path, f"of {path} in {source}"


def _by(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} x {shape[1]}"
