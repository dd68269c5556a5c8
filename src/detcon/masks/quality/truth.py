"""Truth that masks are compared with: annotations of any format, or another mask store.

A source is frozen and picklable. It knows which photos are annotated, and reads them.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from detcon.formats.errors import AnnotationError
from detcon.formats.registry import resolved
from detcon.formats.segments import Regions, SegmentOptions, SegmentSets
from detcon.masks.quality.overlap import Truth
from detcon.masks.sources.annotations import (
    check_options,
    find_annotated,
    masks_of,
    open_annotations,
)
from detcon.masks.store import MaskStore


@runtime_checkable
class TruthSource(Protocol):
    """Annotations by the keys of photos."""

    def annotated(self, keys: Sequence[str]) -> list[str]: ...

    def __getitem__(self, key: str) -> Truth: ...


@dataclass(frozen=True)
class StoredTruth:
    """Another mask store. Pixels of no mask are background."""

    store: MaskStore

    def annotated(self, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if key in self.store]

    def __getitem__(self, key: str) -> Truth:
        return Truth((self.store[key],))


@dataclass(frozen=True)
class AnnotatedTruth:
    """Annotations of any format, by one person or several; their void pixels are ignored."""

    folder: str
    format: str
    options: SegmentOptions

    def annotated(self, keys: Sequence[str]) -> list[str]:
        return find_annotated(self._opened, keys)

    def __getitem__(self, key: str) -> Truth:
        people = [masks_of(one, self.options) for one in self._opened.read(key)]
        return Truth(tuple(one.masks for one in people), people[0].void)

    @property
    def _opened(self) -> SegmentSets:
        return open_annotations(self.folder, self.format, self.options)


def open_truth(
    folder: str | Path,
    *,
    format: str | None = None,
    split: str = "train",
    regions: Regions = "instances",
    ignore: int | None = 255,
    background: bool = False,
) -> TruthSource:
    """Opens annotations of any format, or another mask store.

    Crowds and pixels that are ignored or unlabelled are void: they don't count. Without `format`,
    the folder is a mask store, or has PNGs or BSDS' files; its content shows which. The other
    settings are those of `SegmentOptions`.
    """
    path = Path(folder)
    if format is None:
        if (path / "header.json").is_file():
            return StoredTruth(MaskStore(path))
        format = _seen(path)
    format = resolved(path, format)
    options = SegmentOptions(ignore, background, split, regions)
    try:
        check_options(format, options)
    except ValueError as error:
        raise AnnotationError(str(error)) from error
    open_annotations(str(path), format, options)
    return AnnotatedTruth(str(path), format, options)


def _seen(path: Path) -> str:
    """The format of a folder whose files have the names of photos, by what lies in it."""
    how = "say what it is with format=coco, for instance"
    if path.is_file():
        raise AnnotationError(f"cannot tell the format of the file {path}; {how}")
    if not path.is_dir():
        raise AnnotationError(f"there is no folder of annotations {path}; check truth=")
    if found := _data_set(path):
        raise AnnotationError(f"{path} is laid out as {found} is; {how.replace('coco', found)}")
    for name in _names(path):
        if name.endswith(".mat"):
            return "bsds"
        if name.endswith(".png"):
            return "png"
    raise AnnotationError(
        f"there are no annotations in the folder {path}: looked in it and in its subfolders for "
        f"a mask store, PNG files and the .mat files of BSDS; for anything else {how}"
    )


def _data_set(path: Path) -> str:
    """The format of a data set, by files that every copy of it has; "" if it is none of these.

    Otherwise its PNGs would be taken for annotations that have the photos' names.
    """
    signs = {
        "annotations/*_*2017.json": "coco",
        "VOCdevkit/VOC*": "voc",
        "VOC2012": "voc",
        "SegmentationObject": "voc",
        "gtFine": "cityscapes",
        "*-of-*": "tfrecord",
    }
    return next((format for sign, format in signs.items() if any(path.glob(sign))), "")


def _names(folder: Path) -> Iterator[str]:
    for _, _, files in os.walk(folder, followlinks=True):
        yield from (name.lower() for name in sorted(files) if not name.startswith("."))
