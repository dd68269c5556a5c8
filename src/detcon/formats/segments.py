"""Annotated regions of photos, in one form for all formats; masks and truth are made of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Bool, Integer

from detcon.formats.errors import AnnotationError, NotAnnotated
from detcon.formats.objects import Objects
from detcon.photos import stays_inside

VOID = 255
"""The class of a pixel that is neither learnt nor counted."""

Regions = Literal["instances", "classes"]
Found = TypeVar("Found")


@dataclass(frozen=True)
class SegmentOptions:
    """Options for reading annotations as regions; each format supports some of them.

    Attributes:
        ignore: The id of void pixels; None if there is none.
        background: Whether the background is a region, too.
        split: train or val, of data sets that have both in one folder.
        regions: "classes" makes one region of all objects of a class.
        crowd: Whether a crowd (objects that were annotated as one) is a region, and not void.
        which: Which annotation, from 0, of a photo that has several; None: see the format.
    """

    ignore: int | None = 255
    background: bool = False
    split: str = "train"
    regions: Regions = "instances"
    crowd: bool = False
    which: int | None = None


@dataclass(frozen=True, eq=False)
class Segments:
    """Regions of a photo that don't overlap.

    Attributes:
        ids: The region of each pixel; negative where it is unknown (void).
        place: The annotation's name in messages.
        unmarked: Ids of the background.
        crowd: Ids of crowds: many objects annotated as one.
        classes: The class of each id, where all regions of a class may be joined into one.
        keep_ids: Whether ids mean something to the user, and masks keep them.
    """

    ids: Integer[np.ndarray, "y x"]
    place: str
    unmarked: tuple[int, ...] = ()
    crowd: tuple[int, ...] = ()
    classes: Mapping[int, int] = field(default_factory=dict)
    keep_ids: bool = False


@dataclass(frozen=True, eq=False)
class OverlappingSegments:
    """Regions of a photo that may overlap.

    Attributes:
        stack: A binary picture for each.
        place: The annotation's name in messages.
        classes: The class of each.
        crowd: Whether it is a crowd: many objects annotated as one.
        has_background: Whether pixels outside all regions are background, and not unknown.
    """

    stack: Bool[np.ndarray, "k y x"]
    place: str
    classes: Integer[np.ndarray, " k"]
    crowd: Bool[np.ndarray, " k"]
    has_background: bool = True


AnySegments = Segments | OverlappingSegments


@runtime_checkable
class SegmentSets(Protocol):
    """The annotated regions of photos, by the photos' keys in any collection.

    `place` names the annotation of a photo, usable or not; None if there is none. Two photos with
    the same place would share an annotation. `read` returns an entry for each person who annotated
    the photo. It raises `NotAnnotated` where there is no annotation, and `AnnotationError` where it
    can't be used.
    """

    def place(self, key: str) -> str | None: ...

    def read(self, key: str) -> Sequence[AnySegments]: ...


@dataclass(frozen=True, eq=False)
class SegmentFiles:
    """A file for each photo, in the same subfolder of `folder` and under the photo's stem.

    Of a key that leads out of its collection's folder, `/data/one/a.jpg`, the longest end that has
    a file counts: `data/one/a.png`, `one/a.png`, or `a.png`.

    Attributes:
        folder: Where the files are.
        suffix: What follows the stem.
        load: Reads a file, given the photo's key for messages.
        or_folder: Whether a folder of the photo's stem may stand for the file.
    """

    folder: Path
    suffix: str
    load: Callable[[Path, str], Sequence[AnySegments]]
    or_folder: bool = False

    def place(self, key: str) -> str | None:
        """The path of the photo's file, or None."""
        path = self._find(key)
        return str(path) if path.exists() else None

    def read(self, key: str) -> Sequence[AnySegments]:
        """The regions of a photo. Raises what `load` does."""
        return self.load(self._find(key), key)

    def _find(self, key: str) -> Path:
        if stays_inside(key):
            return self._of(Path(self.folder, key))
        parts = [part for part in PurePosixPath(key).parts if part not in ("/", "..")]
        ends = [self._of(Path(self.folder, *parts[start:])) for start in range(len(parts))]
        return next((end for end in ends if end.exists()), ends[-1])

    def _of(self, photo: Path) -> Path:
        file, folder = photo.with_name(photo.stem + self.suffix), photo.with_name(photo.stem)
        return folder if self.or_folder and folder.is_dir() and not file.is_file() else file


@dataclass(frozen=True, eq=False)
class ListedSegments(Generic[Found]):
    """Photos that a data set lists, found by the ends of their paths; see `match_path`.

    Attributes:
        listed: The argument of `load`, by the photos' paths from the data set's top folder.
        source: The data set's name in messages.
        load: Reads the regions of a photo; takes the photo's key, too, for messages.
    """

    listed: Mapping[str, Found]
    source: str
    load: Callable[[Found, str], Sequence[AnySegments]]
    _by_name: dict[str, list[str]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for path in self.listed:
            self._by_name.setdefault(PurePosixPath(path).name, []).append(path)

    def place(self, key: str) -> str | None:
        """The photo's path in the data set, or None. Raises what `match_path` does."""
        return match_path(key, self._by_name.get(PurePosixPath(key).name, []))

    def read(self, key: str) -> Sequence[AnySegments]:
        """The regions of a photo. Raises `NotAnnotated`, and what `load` does."""
        path = self.place(key)
        if path is None:
            example = next(iter(self.listed), "")
            raise NotAnnotated(
                f"the photo {key} is not annotated in {self.source}, which knows photos such as "
                f"{example}"
            )
        return self.load(self.listed[path], key)


def match_path(key: str, paths: Iterable[str]) -> str | None:
    """The path that ends with `key`, or that `key` ends with; None if there is none.

    A data set knows a photo as `train2017/000000000139.jpg`. The collection that masks are made of
    may be the folder above it, that folder, or one within it, and so knows more or less of the
    path. Only whole names of folders count.

    Raises:
        AnnotationError: There are several, and none of them is `key` itself.
    """
    found = [
        path for path in paths
        if path == key or key.endswith(f"/{path}") or path.endswith(f"/{key}")
    ]  # fmt: skip
    if key in found:
        return key
    if len(found) > 1:
        raise AnnotationError(
            f"the photo {key} may be {found[0]} or {found[1]} of the annotations; give as "
            f"images= a folder further up, so that its name says which"
        )
    return found[0] if found else None


def overlapping(objects: Objects, key: str, source: str) -> OverlappingSegments:
    """The objects of the photo `key` as regions. Raises `AnnotationError` for boxes alone."""
    if len(objects.segments) < len(objects):
        raise AnnotationError(
            f"{source} holds boxes without a 'segmentation' for the photo {key}; masks need one"
        )
    place = f"of {key} in {source}"
    return OverlappingSegments(objects.masks(), place, objects.classes, objects.crowd)


def list_segments(
    data: Path,
    split: str,
    root: str | Path,
    found: Mapping[str, Found],
    load: Callable[[Found, str], Sequence[AnySegments]],
) -> ListedSegments[Found]:
    """The segments of a split whose photos are in the folder `root`, by keys relative to it.

    They are listed by their paths from the data set's folder `data`, so that photos of the same
    name in two splits aren't confused.
    """
    within = Path(root).relative_to(data) if Path(root).is_relative_to(data) else Path()
    listed = {(within / key).as_posix(): one for key, one in found.items()}
    return ListedSegments(listed, f"{data} ({split})", load)


def without(ids: Integer[np.ndarray, "y x"], ignore: int | None) -> Integer[np.ndarray, "y x"]:
    """Replaces the ignored id by -1."""
    return ids if ignore is None else np.where(ids == ignore, -1, ids)
