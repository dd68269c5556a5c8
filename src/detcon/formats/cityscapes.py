"""Cityscapes as downloaded, for semantic and for instance segmentation.

    leftImg8bit/{train,val}/CITY/CITY_000000_000019_leftImg8bit.png
    gtFine/{train,val}/CITY/CITY_000000_000019_gtFine_labelIds.png
    gtFine/{train,val}/CITY/CITY_000000_000019_gtFine_instanceIds.png      class * 1000 + number

Cordts et al., CVPR 2016; the table is that of cityscapesscripts/helpers/labels.py.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Integer

from detcon.formats.errors import AnnotationError
from detcon.formats.reading.instances import InstanceFiles, Kind
from detcon.formats.reading.label_files import VOID, LabelFiles, check_files
from detcon.photos import Photos, PhotosError, open_photos

CLASSES = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole",
    19: "traffic light", 20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky",
    24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train", 32: "motorcycle",
    33: "bicycle",
}  # fmt: skip
"""The 19 of 34 label ids that are learnt and judged, in the order of their train ids."""

THINGS = (24, 25, 26, 27, 28, 31, 32, 33)
"""The label ids of the 8 classes with instances."""

_NUM_IDS, _PER_CLASS = 34, 1000
_FROM = "Cityscapes comes from cityscapes-dataset.com/downloads"
_PHOTO = "_leftImg8bit.png"


def open_cityscapes(data: str | Path, split: str) -> LabelFiles:
    """Opens Cityscapes for semantic segmentation: 19 classes; all else is void.

    Args:
        data: Holds `leftImg8bit` and `gtFine`.
        split: train or val.

    Raises:
        AnnotationError: A part is missing; the sentence says where it comes from.
    """
    photos, files = _find(Path(data), split, "labelIds")
    places = {number: place for place, number in enumerate(CLASSES)}
    return LabelFiles(
        photos=photos,
        files=files,
        names=tuple(CLASSES.values()),
        classes=np.array([places.get(number, VOID) for number in range(_NUM_IDS)], np.int16),
        complaint="the label id {id}, but they go from 0 to 33; copy gtFine_trainvaltest again",
    )


def open_cityscapes_objects(data: str | Path, split: str) -> InstanceFiles:
    """Opens Cityscapes for instance segmentation: 8 classes; groups are crowds.

    Args:
        data: Holds `leftImg8bit` and `gtFine`.
        split: train or val.

    Raises:
        AnnotationError: A part is missing; the sentence says where it comes from.
    """
    photos, files = _find(Path(data), split, "instanceIds")
    return InstanceFiles(photos, files, {}, tuple(CLASSES[number] for number in THINGS), _sort)


def _sort(
    ids: Integer[np.ndarray, "y x"], labels: Integer[np.ndarray, "y x"] | None
) -> dict[int, Kind]:
    """Instances have their class in the thousands; a group has the class itself as its id."""
    kinds = {}
    for number in np.unique(ids).tolist():
        label = number // _PER_CLASS if number >= _PER_CLASS else number
        if label in THINGS:
            kinds[number] = Kind(THINGS.index(label), crowd=number < _PER_CLASS)
    return kinds


def _find(data: Path, split: str, kind: str) -> tuple[Photos, dict[str, Path]]:
    images, truth = data / "leftImg8bit" / split, data / "gtFine" / split
    for folder, package in ((images, "leftImg8bit_trainvaltest"), (truth, "gtFine_trainvaltest")):
        if not folder.is_dir():
            raise AnnotationError(f"there is no folder {folder}; {_FROM} ({package}.zip)")
    try:
        keys = [key for key in open_photos(images).keys if key.endswith(_PHOTO)]
    except PhotosError:
        keys = []
    if not keys:
        raise AnnotationError(f"there are no photos CITY/*{_PHOTO} in {images}; {_FROM}")
    photos = Photos(str(images), str(images), keys)
    files = {key: truth / f"{key.removesuffix(_PHOTO)}_gtFine_{kind}.png" for key in keys}
    check_files(photos, files, f"; {_FROM} (gtFine_trainvaltest.zip)")
    return photos, files
