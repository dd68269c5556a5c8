"""What people marked in a photo, as masks, from files of any format that is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Integer

from detcon.formats.coco.objects import CocoObjects
from detcon.formats.coco.panoptic import CocoPanoptic
from detcon.formats.errors import AnnotationError, NotAnnotated
from detcon.formats.reading.ids import read_ids
from detcon.formats.reading.photo_paths import PhotoPaths
from detcon.formats.tfrecord.records import FhRecords
from detcon.masks.masks import Masks


@dataclass(frozen=True)
class Annotation:
    """The masks of a photo, and where they were found.

    Attributes:
        masks: None of them is empty; there may be none.
        place: How messages call it: a file, or an image of a file.
        void: Pixels of which nobody said what is there: ignored, unlabelled, or a crowd that is
            no mask; None if there are none.
    """

    masks: Masks
    place: str
    void: Bool[np.ndarray, "y x"] | None = None


@runtime_checkable
class AnnotationSource(Protocol):
    """Annotations by the keys of photos.

    Reading raises `NotAnnotated` where there is none, and `AnnotationError` where it can't be
    used; to know a photo is to have an annotation of it, usable or not.
    """

    def knows(self, key: str) -> bool: ...

    def read(self, key: str) -> Annotation: ...


Ids = Integer[np.ndarray, "y x"]
"""A map of ids; negative where a pixel belongs to no mask."""


@dataclass(frozen=True, eq=False)
class AnnotatedFiles:
    """A file for each photo.

    Attributes:
        find: The file of a photo, by its key; a folder where it has one for each mask.
        load: What is in a file, of a photo.
    """

    find: Callable[[str], Path]
    load: Callable[[Path, str], Annotation]

    def knows(self, key: str) -> bool:
        """Whether there is a file of the photo. Raises what `find` does of a name of two."""
        try:
            return self.find(key).exists()
        except NotAnnotated:
            return False

    def read(self, key: str) -> Annotation:
        """The masks of a photo. Raises what `find` and `load` do."""
        return self.load(self.find(key), key)


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

    def knows(self, key: str) -> bool:
        """Whether the file lists the photo. Raises `AnnotationError` of a name of two."""
        return self.paths.find(key) is not None

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
        void = drawn[~kept].any(0) & ~drawn[kept].any(0)
        stack, classes = drawn[kept], found.classes[kept]
        if self.merged:
            stack = [stack[classes == label].any(0) for label in np.unique(classes)]
        if self.background:
            stack = [*stack, free]
        masks = _stacked(np.reshape(stack, (-1, *found.size)), found.size)
        return Annotation(masks, place, _some(np.asarray(void)))


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

    def knows(self, key: str) -> bool:
        """Whether the file lists the photo. Raises `AnnotationError` of a name of two."""
        return self.paths.find(key) is not None

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
        ids = np.where(found.ids == 0, -1, ids[places])
        return Annotation(numbered(ids), place, _some(ids < 0))


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

    def knows(self, key: str) -> bool:
        """Whether there is a record of the photo. Raises `AnnotationError` of a name of two."""
        return self.records.find(key) is not None

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
        place = f"of {key} in {self.records.folder}"
        return annotation_of_ids(ids, place, none=(), void=(self.ignore,))


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


def pictured(folder: Path) -> Callable[[str], Path]:
    """Finds a photo's `b.png`, or the folder `b` of PNGs where there is no such file."""
    find_file = beside(folder, ".png")

    def find(key: str) -> Path:
        path = find_file(key)
        pictures = path.with_suffix("")
        return pictures if pictures.is_dir() and not path.is_file() else path

    return find


def read_ids_or_pictures(
    path: Path, photo: str, ignore: int | None, background: bool
) -> Annotation:
    """Reads a PNG of ids or, from a folder, a PNG for each mask.

    Args:
        path: `a/b.png`; or a folder `a/b` of pictures, in the order of their names, and whatever
            isn't 0 belongs to the mask.
        photo: The photo it belongs to, for messages.
        ignore: The id of void pixels, if there is one.
        background: Whether 0 is an id as others are.

    Raises:
        NotAnnotated: There is neither.
        AnnotationError: A file is no PNG of one channel, or the pictures differ in size.
    """
    if not path.is_dir():
        ids = read_ids(path, photo=photo)
        none = () if background else (0,)
        return annotation_of_ids(ids, str(path), none=none, void=(ignore,), anew=False)
    files = sorted(path.glob("*.png"))
    if not files:
        raise NotAnnotated(f"there is no PNG in {path} for the photo {photo}")
    pictures = [read_ids(file, photo=photo) != 0 for file in files]
    for file, picture in zip(files, pictures, strict=True):
        if picture.shape != pictures[0].shape:
            raise AnnotationError(
                f"the masks {files[0]} and {file} of one photo have {_by(pictures[0].shape)} and "
                f"{_by(picture.shape)} pixels; they must match"
            )
    height, width = pictures[0].shape
    return Annotation(_stacked(np.stack(pictures), (height, width)), str(path))


def annotation_of_ids(
    ids: Ids,
    place: str,
    *,
    none: Sequence[int] = (),
    void: Sequence[int | None] = (),
    anew: bool = True,
) -> Annotation:
    """The annotation that a map of ids is.

    Args:
        ids: The map; void where it is negative.
        place: How messages call it.
        none: Ids of pixels that belong to no mask.
        void: Ids of void pixels; None stands for no id.
        anew: Whether masks are numbered anew, from 0; or keep their ids.
    """
    unknown = np.isin(ids, [one for one in void if one is not None]) | (ids < 0)
    ids = np.where(unknown | np.isin(ids, none), -1, ids)
    return Annotation(numbered(ids) if anew else Masks.from_labels(ids), place, _some(unknown))


def numbered(ids: Ids) -> Masks:
    """Disjoint masks of the ids that aren't negative, numbered anew from 0 in their order."""
    found, places = np.unique(ids, return_inverse=True)
    return Masks.from_labels((places - np.count_nonzero(found < 0)).reshape(ids.shape))


def _stacked(stack: Bool[np.ndarray, "k y x"], size: tuple[int, int]) -> Masks:
    kept = np.array([mask.any() for mask in stack], bool)
    if not kept.any():
        return Masks.from_labels(np.full(size, -1))
    return Masks.from_stack(stack if kept.all() else stack[kept])


def _some(void: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"] | None:
    return void if void.any() else None


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
