"""Photos with a class for every pixel, in any format, as segmentation learns and judges them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from detcon.downstream.pictures import LabelError, Labelled
from detcon.formats.format import LabelMaps
from detcon.formats.registry import FormatName, open_label_maps
from detcon.formats.segments import VOID as VOID
from detcon.photos import shrink


@dataclass(frozen=True)
class Picture:
    """A photo and the class of each of its pixels; 255 is neither learnt nor counted."""

    key: str
    image: UInt8[np.ndarray, "y x c"]
    labels: UInt8[np.ndarray, "y x"]

    @property
    def nbytes(self) -> int:
        """What keeping it costs."""
        return self.image.nbytes + self.labels.nbytes


@dataclass(frozen=True)
class SegmentationSplit:
    """The training or the validation pictures, read when asked for.

    Attributes:
        maps: The photos and their label maps.
        max_side: The longest side of the pictures as read; None leaves them as they are.
        channels: Of the photos.
    """

    maps: LabelMaps
    max_side: int | None = None
    channels: int = 3

    @property
    def keys(self) -> Sequence[str]:
        """The names of the pictures."""
        return self.maps.keys

    def read(self, index: int) -> Picture:
        """Decodes a photo and its labels, and shrinks both alike: by area, and to the nearest.

        Raises:
            UnreadablePhoto: The photo is damaged.
            AnnotationError: The labels are missing, damaged, of another size than the photo, or
                hold a class that isn't one.
        """
        key = self.keys[index]
        photo, labels = self.maps.pair(key, self.channels)
        image = shrink(photo, self.max_side)
        height, width = image.shape[:2]
        if image.shape != photo.shape:
            labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        return Picture(key, image, np.asarray(labels))


def open_labelled(
    data: str | Path,
    *,
    format: FormatName = "folder",
    ignore: int | None = None,
    num_classes: int | None = None,
    max_side: int | None = None,
    channels: int = 3,
) -> Labelled:
    """Opens the training and the validation pictures of a data set.

    Args:
        data: Where it is.
        format: How it lies there; see `detcon.formats.registry`.
        ignore: For labelled folders: a class id that means void beside 255.
        num_classes: For labelled folders: how many classes there are, if neither `classes.json`
            is to say so nor all label maps are to be read for the greatest id.
        max_side: The longest side of the pictures, shrunk when read.
        channels: Of the photos, as `open_photos` has it.

    Raises:
        AnnotationError: A part is missing, or isn't understood.
        LabelError: `ignore` or `num_classes` for a format that knows its classes.
    """
    if format == "folder":
        options = {"ignore": ignore, "channels": channels}
        train = open_label_maps(data, format, "train", num_classes=num_classes, **options)
        val = open_label_maps(data, format, "val", num_classes=len(train.names), **options)
    else:
        if (ignore, num_classes) != (None, None):
            raise LabelError(
                f"ignore and num_classes are for format=folder; format={format} knows its classes "
                f"and its void: leave them out"
            )
        train, val = (open_label_maps(data, format, split) for split in ("train", "val"))
    splits = (SegmentationSplit(maps, max_side, channels) for maps in (train, val))
    return Labelled(*splits, names=train.names)
