"""Where the truth comes from that masks are held against: any source of annotations.

A source is frozen and picklable, says whether it knows a photo, and gives what people marked.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from detcon.formats.bsds import read_segmentations
from detcon.formats.errors import AnnotationError
from detcon.masks.annotations import FromAnnotations, open_annotations
from detcon.masks.masks import Masks
from detcon.masks.open_annotated import Format, Regions
from detcon.masks.quality.overlap import Truth
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
class AnnotatedTruth:
    """Annotations of one person a photo, of any format; what is void there is void here.

    Args:
        settings: Where they lie and what counts as a region.
    """

    settings: FromAnnotations

    def __contains__(self, key: str) -> bool:
        return open_annotations(self.settings).knows(key)

    def __getitem__(self, key: str) -> Truth:
        """Reads one photo's regions.

        Raises:
            AnnotationError: There are none, or they can't be read.
        """
        found = open_annotations(self.settings).read(key)
        return Truth((found.masks,), found.void)


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
    folder: str | Path,
    *,
    format: Format | None = None,
    split: str = "train",
    regions: Regions = "instances",
    ignore: int | None = 255,
    background: bool = False,
) -> TruthSource:
    """Opens annotations of any format, or another mask store.

    A crowd and whatever is ignored or unlabelled is void: masks may do there as they like.

    Args:
        folder: The source.
        format: What it is, as `FromAnnotations` names it. None: a mask store, a folder of PNGs or
            one of BSDS' files, whichever shows by what lies in it.
        split: train or val, of data sets that have both in one folder.
        regions: "classes" makes one region of all objects of a class.
        ignore: The id of void pixels, of png, folder, voc and tfrecord.
        background: Whether what no object covers is a region as well, of png, voc and coco.

    Raises:
        AnnotationError: There are none, nothing that is understood, or settings that mean nothing
            in this format.
    """
    path = Path(folder)
    if format is None:
        if (path / "header.json").is_file():
            return StoredTruth(MaskStore(path))
        format = _seen(path)
    try:
        settings = FromAnnotations(
            str(path), ignore=ignore, background=background,
            format=format, split=split, regions=regions,
        )  # fmt: skip
    except ValueError as error:
        raise AnnotationError(str(error)) from error
    if format == "bsds" and path.is_dir():
        return BsdsTruth(str(path))
    open_annotations(settings)
    return AnnotatedTruth(settings)


def _seen(path: Path) -> Format:
    """The format of a folder of files that lie as the photos do."""
    how = "say what it is with format=coco, for instance"
    if path.is_file():
        raise AnnotationError(f"{path} is a file, and may be any; {how}")
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
    """The format of a data set by what it can't be without; "" for none that is known.

    Its files would otherwise be taken for PNGs that lie as the photos do.
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
