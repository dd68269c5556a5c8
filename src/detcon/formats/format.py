"""Data-set formats: what they can give, and the interfaces of their readers.

A reader is frozen and picklable: each worker of a loader holds one. Keys name photos in messages
and results, and subsets are drawn from them; they are sorted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from detcon.formats.errors import AnnotationError
from detcon.formats.objects import Objects
from detcon.formats.segments import (
    VOID as VOID,
    ListedSegments,
    OverlappingSegments,
    Segments,
    SegmentSets,
    list_segments,
    overlapping,
)
from detcon.formats.writing.scenes import Layout
from detcon.photos import Photos


@runtime_checkable
class AnnotatedPhotos(Protocol):
    """Photos by key, upright, decoded by `detcon.photos`."""

    @property
    def keys(self) -> Sequence[str]: ...

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]: ...


@runtime_checkable
class PhotoFiles(AnnotatedPhotos, Protocol):
    """Photos in files, and how they are read; `in_files`: whether each is a file of its own."""

    photos: Photos
    in_files: ClassVar[bool] = True

    @property
    def keys(self) -> Sequence[str]:
        """The photos' names, sorted."""
        return self.photos.keys

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]:
        """Decodes a photo. Raises `UnreadablePhoto`."""
        return replace(self.photos, channels=channels).read(key)


@runtime_checkable
class LabelMaps(PhotoFiles, Protocol):
    """A class for each pixel, from 0, contiguous; 255 is void. `names` is () where unknown."""

    names: tuple[str, ...]

    def labels(self, key: str) -> UInt8[np.ndarray, "y x"]: ...

    def label_file(self, key: str) -> Path: ...

    def pair(
        self, key: str, channels: int = 3
    ) -> tuple[UInt8[np.ndarray, "y x c"], UInt8[np.ndarray, "y x"]]:
        """A photo and its labels, which must have its size.

        Raises:
            UnreadablePhoto: The photo is missing or damaged.
            AnnotationError: The labels are, or they don't fit the photo.
        """
        photo, labels = self.photo(key, channels), self.labels(key)
        photo_file = str(self.photos.path(key)) if self.in_files else key
        check_size(str(self.label_file(key)), labels.shape, photo_file, photo.shape[:2])
        return photo, labels


@runtime_checkable
class ObjectSets(AnnotatedPhotos, Protocol):
    """Objects with boxes, classes and, where the format has them, masks."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def objects(self, key: str) -> Objects: ...


@runtime_checkable
class DepthMaps(AnnotatedPhotos, Protocol):
    """Metres to what each pixel shows; NaN where nothing was measured."""

    def depth(self, key: str) -> Float[np.ndarray, "y x"]: ...


@runtime_checkable
class ClassifiedPhotos(AnnotatedPhotos, Protocol):
    """A class for each photo, from 0."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def label(self, key: str) -> int: ...


@dataclass(frozen=True)
class Format:
    """A data-set format: for each kind of annotation the function that opens it, or None.

    Masks and truth need `segments`, `objects` or `label_maps`: see `registry.open_segments`.

    Attributes:
        label_maps: Opens photos with a class for each pixel, given the data set's folder and a
            split, train or val.
        objects: Opens photos with boxes, classes and masks of objects, given the same.
        depth: Opens photos with depth, given the same.
        classes: Opens photos with a class each, given the same.
        segments: Opens annotated regions, given the data set's folder and `SegmentOptions`.
        options: The `SegmentOptions` that its segments support.
        layout: Writes scenes in this format, given a folder and a `ScenesPlan`.
        takes_unit: Whether `depth` takes `unit`, the metres of one step of a depth map.
        draws_split: Whether its functions take `holdout`, for data sets that have no val.
    """

    label_maps: Callable[..., LabelMaps] | None = None
    objects: Callable[..., ObjectSets] | None = None
    depth: Callable[..., DepthMaps] | None = None
    classes: Callable[..., ClassifiedPhotos] | None = None
    segments: Callable[..., SegmentSets] | None = None
    options: tuple[str, ...] = ("split", "regions")
    layout: Callable[..., Layout] | None = None
    takes_unit: bool = False
    draws_split: bool = False

    def takes(self, option: str) -> bool:
        """Whether its segments support one of the `SegmentOptions`."""
        has_segments = self.segments or self.objects or self.label_maps
        return bool(has_segments) and option in self.options


def check_size(
    annotation: str, size: tuple[int, ...], photo: str, photo_size: tuple[int, ...]
) -> None:
    """Raises an `AnnotationError` unless an annotation has the height and width of its photo."""
    if size != photo_size:
        raise AnnotationError(
            f"{annotation} is {size[0]} x {size[1]} pixels, but its photo {photo} is "
            f"{photo_size[0]} x {photo_size[1]} pixels (upright); the two must match"
            f"{exif_hint(size, photo_size)}"
        )


def exif_hint(size: tuple[int, ...], photo_size: tuple[int, ...]) -> str:
    """The end of a message on an annotation's size; "" unless it lies where its photo stands."""
    if size == photo_size or size != photo_size[::-1]:
        return ""
    return (
        ": photos are turned upright as their EXIF orientation says, so turn the annotation too, "
        "or save the photo without its EXIF orientation if it was annotated unturned"
    )


def segments_of_labels(maps: LabelMaps, data: Path, split: str) -> ListedSegments[str]:
    """Each class of a photo's label map as a region; `data` is the folder of the data set."""

    def load(key: str, photo: str) -> list[Segments]:
        labels = maps.labels(key).astype(int)
        return [Segments(np.where(labels == VOID, -1, labels), str(maps.label_file(key)))]

    keys = {key: key for key in maps.photos.keys}
    return list_segments(data, split, maps.photos.root, keys, load)


def segments_of_objects(objects: ObjectSets, data: Path, split: str) -> ListedSegments[str]:
    """Each object of a photo as a region; `data` is the folder of the data set."""

    def load(key: str, photo: str) -> list[OverlappingSegments]:
        return [overlapping(objects.objects(key), key, f"{data} ({split})")]

    root = objects.photos.root if isinstance(objects, PhotoFiles) else data
    return list_segments(data, split, root, {key: key for key in objects.keys}, load)
