"""Photos with their labels, and which of them a run learns from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from detcon.formats.reading.holdout import draw
from detcon.photos import Photos, shrink
from detcon.progress import with_progress

MEMORY = 2**30
"""Examples that need fewer bytes than this are decoded once and kept."""


class LabelError(ValueError):
    """Labels that are missing, or don't fit their photo or the task."""


@dataclass(frozen=True)
class Example:
    """A photo and its labels: a map of classes or depths, objects, or one class."""

    key: str
    image: UInt8[np.ndarray, "y x c"]
    labels: Any

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        return self.image.nbytes + getattr(self.labels, "nbytes", 0)


@dataclass(frozen=True, eq=False)
class LabelledSplit:
    """The training or the validation photos of a data set, read when asked for.

    Attributes:
        source: Reads the data set's format; has `keys`.
        pair: From the source, a key and a number of channels to a photo and its labels.
        resize: Brings labels to the height and width that their photo is shrunk to.
        max_side: The longest side of the photos as read; None leaves them as they are.
    """

    source: Any
    pair: Callable[[Any, str, int], tuple[UInt8[np.ndarray, "y x c"], Any]]
    resize: Callable[[Any, tuple[int, int]], Any]
    max_side: int | None = None
    channels: int = 3

    @property
    def keys(self) -> Sequence[str]:
        """The names of the photos."""
        return self.source.keys

    @property
    def in_files(self) -> Photos | None:
        """The photos, where they are files of their own: not in tars, rows or HDF5."""
        photos = getattr(self.source, "photos", None)
        own = isinstance(photos, Photos) and photos.members is None
        return photos if own and getattr(self.source, "in_files", True) else None

    def check_files(self, indices: Sequence[int]) -> None:
        """Looks whether the files of photos and labels are there, without reading them.

        Raises:
            LabelError: Files are missing or empty; the first is named.
        """
        photos, files = self.in_files, getattr(self.source, "files", None)
        keys = [self.keys[index] for index in indices]
        found = {"labels": [files[key] for key in keys]} if isinstance(files, Mapping) else {}
        if photos is not None:
            found["photos"] = [photos.path(key) for key in keys]
        for what, paths in found.items():
            if lost := [path for path in paths if not path.is_file() or not path.stat().st_size]:
                raise LabelError(
                    f"{len(lost)} of {len(paths)} {what} are missing or empty, the first is "
                    f"{lost[0]}; put them there, or take their photos out of the data set"
                )

    def read(self, index: int) -> Example:
        """Decodes a photo and its labels, and shrinks both alike.

        Raises:
            UnreadablePhoto: The photo is damaged.
            FormatError: The labels are missing or damaged.
            LabelError: They are of another size than the photo, or don't fit the task.
        """
        key = self.keys[index]
        photo, labels = self.pair(self.source, key, self.channels)
        image = shrink(photo, self.max_side)
        if image.shape != photo.shape:
            labels = self.resize(labels, (image.shape[0], image.shape[1]))
        return Example(key, image, labels)


def keep(labels: Any, size: tuple[int, ...]) -> Any:
    """For `LabelledSplit.resize`: labels that don't shrink with their photo."""
    return labels


@dataclass(frozen=True)
class LabelledData:
    """What to learn from, what to score on, and the names of the classes of both."""

    train: LabelledSplit
    val: LabelledSplit
    names: tuple[str, ...] = ()

    def in_files(self) -> list[Photos]:
        """The photos of each split, where they are files of their own."""
        return [one.in_files for one in (self.train, self.val) if one.in_files is not None]

    def shared(self) -> list[str]:
        """Validation photos with the name, and the size in bytes, of a training photo."""
        if len(self.in_files()) < 2:
            return []
        train, val = self.in_files()
        both = sorted({*self.train.keys} & {*self.val.keys})
        return [key for key in both if _size(train.path(key)) == _size(val.path(key)) is not None]


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def same_names(train: Any, val: Any) -> tuple[str, ...]:
    """The names of the classes of both readers: a class is known by its number.

    Raises:
        LabelError: Their names differ, or the order.
    """
    if tuple(train.names) != tuple(val.names):
        raise LabelError(
            f"the training photos have the classes {', '.join(train.names)}, but the validation "
            f"photos have {', '.join(val.names)}; give both the same, in the same order"
        )
    return tuple(train.names)


def watched(items: Any, title: str) -> Iterator[Any]:
    """Goes through items under a progress bar."""
    return with_progress(items, title, len(items), transient=True)


def nested_subset(num_photos: int, labels: int | None, seed: int) -> list[int]:
    """A random choice of photos to learn from; a larger one contains the smaller ones.

    >>> set(nested_subset(100, 5, seed=0)) < set(nested_subset(100, 10, seed=0))
    True

    Raises:
        LabelError: More labels are asked for than there are.
    """
    if labels is not None and labels > num_photos:
        raise LabelError(
            f"labels={labels}, but there are only {num_photos} training photos; ask for fewer, "
            f"or leave labels out to use all"
        )
    order = np.random.default_rng(np.random.SeedSequence([seed], spawn_key=(1,))).permutation(
        num_photos
    )
    return sorted(order[:labels].tolist())


def drawn_subset(keys: Sequence[str], number: int | None) -> list[int]:
    """The photos to score on, drawn by a hash of their names; None: all.

    They are the same for all backbones and seeds, and fewer are some of more.

    >>> drawn_subset(["a", "b", "c"], 2), drawn_subset(["a", "b", "c"], 1)
    ([1, 2], [2])
    """
    order = sorted(range(len(keys)), key=lambda number: draw(keys[number]))
    return sorted(order[:number])


class Examples:
    """Some examples of a split, decoded once if they are few and small, else each time."""

    def __init__(
        self, split: LabelledSplit, indices: Sequence[int], *, memory: int = MEMORY
    ) -> None:
        """Decodes and keeps the examples, if they need no more than `memory` bytes.

        Raises:
            LabelError: Photos are missing: all of them are looked for first.
        """
        self.split = split
        self.indices = list(indices)
        split.check_files(self.indices)
        self.kept: list[Example] | None = None
        if self.indices:
            first = split.read(self.indices[0])
            if first.nbytes * len(self.indices) <= memory:
                self.kept = [split.read(index) for index in watched(self.indices, "reading")]

    def __len__(self) -> int:
        return len(self.indices)

    def key(self, index: int) -> str:
        """The name of an example, without reading it."""
        return self.split.keys[self.indices[index]]

    def __getitem__(self, index: int) -> Example:
        return self.split.read(self.indices[index]) if self.kept is None else self.kept[index]

    def __iter__(self) -> Iterator[Example]:
        return (self[index] for index in range(len(self)))
