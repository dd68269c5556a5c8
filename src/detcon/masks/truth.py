"""Where the truth comes from that masks are held against: any source of annotations.

A source is frozen and picklable, says whether it knows a photo, and gives what people marked.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

import numpy as np

from detcon.annotations.bsds import read_segmentations
from detcon.annotations.errors import AnnotationError
from detcon.annotations.label_maps import read_ids
from detcon.masks.masks import Masks
from detcon.masks.quality import Truth
from detcon.masks.store import MaskStore


@runtime_checkable
class TruthSource(Protocol):
    """Annotations by the keys of photos."""

    def __contains__(self, key: str) -> bool: ...

    def __getitem__(self, key: str) -> Truth: ...


@dataclass(frozen=True)
class StoredTruth:
    """Another mask store. Pixels of no mask are background."""

    store: MaskStore

    def __contains__(self, key: str) -> bool:
        return key in self.store

    def __getitem__(self, key: str) -> Truth:
        return Truth((self.store[key],))


@dataclass(frozen=True)
class LabelMapTruth:
    """PNG files of class or object ids, one person's; see `detcon.masks.FromAnnotations`.

    Args:
        folder: Where they lie, in the photos' subfolders and under the photos' stems.
        ignore: The value of void pixels.
        background: Whether value 0 is a region as well.
    """

    folder: str
    ignore: int | None = 255
    background: bool = False

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def __getitem__(self, key: str) -> Truth:
        """Reads one photo's regions.

        Raises:
            AnnotationError: No PNG of that name, or one that isn't a map of ids.
        """
        ids = read_ids(self._path(key), photo=key)
        void = np.zeros(ids.shape, bool) if self.ignore is None else ids == self.ignore
        none = void if self.background else void | (ids == 0)
        return Truth((Masks.from_labels(np.where(none, -1, ids)),), void if void.any() else None)

    def _path(self, key: str) -> Path:
        return Path(self.folder, PurePosixPath(key).with_suffix(".png"))


@dataclass(frozen=True)
class BsdsTruth:
    """`.mat` files of the Berkeley segmentation data set, several people's each."""

    folder: str

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def __getitem__(self, key: str) -> Truth:
        """Reads one photo's regions.

        Raises:
            AnnotationError: No `.mat` of that name, or one without segmentations.
        """
        maps = read_segmentations(self._path(key), photo=key)
        return Truth(tuple(Masks.from_labels(one) for one in maps))

    def _path(self, key: str) -> Path:
        return Path(self.folder, PurePosixPath(key).with_suffix(".mat"))


def open_truth(
    folder: str | Path, *, ignore: int | None = 255, background: bool = False
) -> TruthSource:
    """Opens annotations: a mask store, or a folder of PNG or BSDS `.mat` files.

    Args:
        folder: The source; what it is shows by what lies in it.
        ignore: The value of void pixels in PNG files.
        background: Whether value 0 is a region in PNG files.

    Raises:
        AnnotationError: No such folder, or nothing in it that is understood.
    """
    path = Path(folder)
    if (path / "header.json").is_file():
        return StoredTruth(MaskStore(path))
    if not path.is_dir():
        raise AnnotationError(f"there is no folder of annotations {path}; check truth=")
    for name in _names(path):
        if name.endswith(".mat"):
            return BsdsTruth(str(path))
        if name.endswith(".png"):
            return LabelMapTruth(str(path), ignore, background)
    raise AnnotationError(
        f"there are no annotations in the folder {path}: looked in it and in its subfolders for "
        f"a mask store, PNG files and the .mat files of BSDS"
    )


def _names(folder: Path) -> Iterator[str]:
    for _, _, files in os.walk(folder, followlinks=True):
        yield from (name.lower() for name in sorted(files) if not name.startswith("."))
