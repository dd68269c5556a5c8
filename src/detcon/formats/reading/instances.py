"""Objects with boxes and masks from maps of instance ids."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer
from pycocotools import mask as coco_mask
from scipy import ndimage

from detcon.formats.errors import AnnotationError
from detcon.formats.format import PhotoFiles, check_size
from detcon.formats.objects import Objects
from detcon.formats.reading.ids import read_map
from detcon.formats.reading.label_files import of_photo
from detcon.photos import Photos


class Kind(NamedTuple):
    """The class of an instance id, and whether it is a crowd."""

    label: int
    crowd: bool = False


Sort = Callable[[Integer[np.ndarray, "y x"], Integer[np.ndarray, "y x"] | None], dict[int, Kind]]


def objects_from_ids(ids: Integer[np.ndarray, "y x"], kinds: Mapping[int, Kind]) -> Objects:
    """Boxes and masks of the objects with the ids of `kinds`, in the order of ids."""
    wanted = sorted(kinds)
    if not wanted:
        return _objects(ids.shape, [], [], [])
    # ids to 1, 2, 3 ... in the order of `wanted`; 0 for all others
    places = np.searchsorted(wanted, ids)
    places[places == len(wanted)] = 0
    numbered = np.where(np.array(wanted)[places] == ids, places + 1, 0)
    boxes, segments, found = [], [], []
    for number, where in enumerate(ndimage.find_objects(numbered, len(wanted)), start=1):
        if where is None:
            continue
        rows, columns = where
        boxes.append((columns.start, rows.start, columns.stop, rows.stop))
        mask = np.zeros(ids.shape, np.uint8, order="F")
        mask[where] = numbered[where] == number
        segments.append(dict(coco_mask.encode(mask)))
        found.append(kinds[wanted[number - 1]])
    return _objects(ids.shape, boxes, found, segments)


def majority(
    ids: Integer[np.ndarray, "y x"],
    labels: Integer[np.ndarray, "y x"],
    counted: Bool[np.ndarray, "y x"],
) -> dict[int, int]:
    """The class that most pixels of each instance have; ties go to the lowest.

    Pixels are `counted` where they have an instance and a class (0 to 255); instances without such
    a pixel are left out.
    """
    pairs, counts = np.unique(
        ids[counted].astype(np.int64) * 256 + labels[counted], return_counts=True
    )
    rising = np.argsort(counts[::-1], kind="stable")  # of several classes, the last one stays
    return {pair // 256: pair % 256 for pair in pairs[::-1][rising].tolist()}


@dataclass(frozen=True, eq=False)
class InstanceFiles(PhotoFiles):
    """Photos with a map of instance ids each, and one of classes where ids don't tell the class.

    Attributes:
        instances: The instance map of each photo, by key.
        labels: The class map of each photo, by key; empty where ids tell the class.
        names: Of the classes.
        sort: Finds the class of each id of a map; picklable.
    """

    photos: Photos
    instances: Mapping[str, Path] = field(repr=False)
    labels: Mapping[str, Path] = field(repr=False)
    names: tuple[str, ...]
    sort: Sort = field(repr=False)

    def objects(self, key: str) -> Objects:
        """Reads the objects of a photo. Raises `AnnotationError`."""
        path, labels = of_photo(self.photos, self.instances, key), None
        ids = read_map(path, key)
        if self.labels:
            labels = read_map(self.labels[key], key)
            check_size(str(self.labels[key]), labels.shape, str(path), ids.shape)
        kinds = self.sort(ids, labels)
        for number, kind in kinds.items():
            if not 0 <= kind.label < len(self.names):
                raise AnnotationError(
                    f"the object {number} of {path} is of class {kind.label}, but classes of "
                    f"objects go from 0 to {len(self.names) - 1}; correct its label"
                )
        return objects_from_ids(ids, kinds)


def _objects(size: tuple[int, ...], boxes: list, kinds: list[Kind], segments: list) -> Objects:
    height, width = size
    return Objects(
        size=(height, width),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.array([kind.label for kind in kinds], np.int64),
        crowd=np.array([kind.crowd for kind in kinds], bool),
        segments=tuple(segments),
    )
