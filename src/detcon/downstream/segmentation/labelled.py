"""Labelled folders: photos with a class for every pixel, some to learn from, others to judge by.

    DIR/train/images/a.jpg      DIR/train/labels/a.png      label PNG of the same stem, class ids
    DIR/val/images/b.jpg        DIR/val/labels/b.png        255 = void: neither learnt nor counted
    DIR/classes.json            {"names": ["sky", "road"], "ignore": 255}      may be left out

Photos are decoded by `detcon.photos`, as everywhere; labels with the same care, here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from jaxtyping import UInt8

from detcon.annotations.label_maps import read_ids
from detcon.downstream.pictures import LabelError, Labelled
from detcon.photos import Photos, open_photos, shrink

VOID = 255
"""The label of a pixel that is neither learnt nor counted, once a label map has been read."""


@dataclass(frozen=True)
class Picture:
    """A photo and the class of each of its pixels."""

    key: str
    image: UInt8[np.ndarray, "y x c"]
    labels: UInt8[np.ndarray, "y x"]

    @property
    def nbytes(self) -> int:
        """What keeping it costs."""
        return self.image.nbytes + self.labels.nbytes


@dataclass(frozen=True)
class SegmentationSplit:
    """The training or the validation pictures of a labelled folder, read when asked for.

    Attributes:
        folder: Holds `images/` and `labels/`.
        photos: The photos of `images/`.
        max_side: The longest side of the pictures as read; None leaves them as they are.
        num_classes: How many classes there are; None while that is being found out.
        ignore: A class id that means void, beside 255.
    """

    folder: Path
    photos: Photos
    max_side: int | None = None
    num_classes: int | None = None
    ignore: int | None = None

    @property
    def keys(self) -> Sequence[str]:
        """The names of the pictures."""
        return self.photos.keys

    def label_file(self, key: str) -> Path:
        """Where the labels of a photo are: the same path below `labels/`, as PNG."""
        return self.folder / "labels" / PurePosixPath(key).with_suffix(".png")

    def read(self, index: int) -> Picture:
        """Decodes a photo and its labels, and shrinks both alike: by area, and to the nearest.

        Raises:
            UnreadablePhoto: The photo is damaged.
            AnnotationError: The labels are missing, damaged, or no PNG of one channel.
            LabelError: They are of another size than the photo, or hold a class that isn't one.
        """
        key = self.photos.keys[index]
        path = self.label_file(key)
        photo, labels = self.photos.read(key), self._read_labels(path)
        if photo.shape[:2] != labels.shape:
            raise LabelError(
                f"{path} is {_size(labels)}, but its photo {self.folder / 'images' / key} is "
                f"{_size(photo)} (upright); labels must have exactly the photo's size"
            )
        image = shrink(photo, self.max_side)
        height, width = image.shape[:2]
        if image.shape != photo.shape:
            labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        return Picture(key, image, labels)

    def num_labels(self) -> int:
        """One more than the greatest class id in use, void left out; reads every label map."""
        highest = -1
        for key in self.photos.keys:
            labels = self._read_labels(self.label_file(key))
            used = labels[labels != VOID]
            highest = max(highest, int(used.max()) if used.size else -1)
        return highest + 1

    def _read_labels(self, path: Path) -> UInt8[np.ndarray, "y x"]:
        labels = read_ids(path)
        if self.ignore is not None:
            labels = np.where(labels == self.ignore, VOID, labels)
        bound = VOID if self.num_classes is None else self.num_classes
        wrong = labels[(labels != VOID) & (labels >= bound)]
        if wrong.size:
            raise LabelError(
                f"{path} holds class {int(wrong.max())}, but classes go from 0 to {bound - 1} "
                f"(255 is void); correct the label, name the class in classes.json, or give "
                f"ignore={int(wrong.max())} if it means void"
            )
        return labels.astype(np.uint8)


def open_labelled(
    data: str | Path,
    *,
    ignore: int | None = None,
    num_classes: int | None = None,
    max_side: int | None = None,
    channels: int = 3,
) -> Labelled:
    """Opens `train/` and `val/` of a labelled folder, and learns what the classes are.

    Args:
        data: The folder.
        ignore: A class id that means void beside 255; `classes.json` may name it as well.
        num_classes: How many classes there are, if neither `classes.json` is to say so nor all
            label maps are to be read for the greatest id.
        max_side: The longest side of the pictures, shrunk when read.
        channels: Of the photos, as `open_photos` has it.

    Raises:
        LabelError: A folder or a label file is missing, or `classes.json` isn't understood.
    """
    root = Path(data)
    names, said_ignore = _read_classes(root / "classes.json")
    ignore = said_ignore if ignore is None else ignore
    if names and num_classes not in (None, len(names)):
        raise LabelError(
            f"num_classes={num_classes}, but {root / 'classes.json'} names {len(names)} classes; "
            f"leave num_classes out"
        )
    count = len(names) or num_classes
    splits = [
        _open_split(root / name, max_side, count, ignore, channels) for name in ("train", "val")
    ]
    if count is None:
        count = max(split.num_labels() for split in splits)
        splits = [replace(split, num_classes=count) for split in splits]
    if not count:
        raise LabelError(f"all labels of {root} are void; there is nothing to learn")
    return Labelled(splits[0], splits[1], names or tuple(f"class {i}" for i in range(count)))


def _open_split(
    folder: Path,
    max_side: int | None,
    num_classes: int | None,
    ignore: int | None,
    channels: int,
) -> SegmentationSplit:
    for part in (folder / "images", folder / "labels"):
        if not part.is_dir():
            raise LabelError(
                f"there is no folder {part}; labelled data needs train/images, train/labels, "
                f"val/images and val/labels"
            )
    photos = open_photos(folder / "images", channels)
    split = SegmentationSplit(folder, photos, max_side, num_classes, ignore)
    for key in split.photos.keys:
        if not split.label_file(key).is_file():
            raise LabelError(
                f"the photo {folder / 'images' / key} has no labels: there is no file "
                f"{split.label_file(key)}"
            )
    return split


def _read_classes(path: Path) -> tuple[tuple[str, ...], int | None]:
    if not path.is_file():
        return (), None
    try:
        said = json.loads(path.read_text())
        names, ignore = said.get("names", []), said.get("ignore")
        understood = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
        understood &= isinstance(ignore, int | None) and isinstance(names, list)
    except (ValueError, AttributeError, TypeError):
        understood, names, ignore = False, [], None
    if not understood or len(names) >= VOID:
        raise LabelError(
            f'{path} is not understood; write {{"names": ["sky", "road"], "ignore": 255}}, at '
            f"most 254 names, each once"
        )
    return tuple(names), ignore


def _size(array: np.ndarray) -> str:
    return f"{array.shape[0]} x {array.shape[1]} pixels"
