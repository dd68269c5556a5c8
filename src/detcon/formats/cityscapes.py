"""Cityscapes as downloaded: semantic and instance segmentation; scenes written in its layout.

    leftImg8bit/{train,val}/CITY/CITY_000000_000019_leftImg8bit.png
    gtFine/{train,val}/CITY/CITY_000000_000019_gtFine_labelIds.png
    gtFine/{train,val}/CITY/CITY_000000_000019_gtFine_instanceIds.png      class * 1000 + number

Cordts et al., CVPR 2016; the table is that of cityscapesscripts/helpers/labels.py.

Scenes are all in one city. Their first class of objects goes under the name of Cityscapes' first,
person, and so on; the floor is road, walls and backgrounds are building. Slivers of objects are
groups.
"""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from detcon.formats.errors import AnnotationError, FormatError, check_folders
from detcon.formats.format import VOID, Format
from detcon.formats.reading.ids import read_ids
from detcon.formats.reading.instances import InstanceFiles, Kind
from detcon.formats.reading.label_files import LabelFiles, check_files, note_unused
from detcon.formats.segments import ListedSegments, SegmentOptions, Segments, list_segments
from detcon.formats.writing.scenes import (
    ScenePicture,
    ScenesPlan,
    is_sliver,
    read_pixels,
    write_pixels,
)
from detcon.notes import counted, note
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
_FIRST_CLASS, _GROUPS = 7, tuple(range(24, 34))  # label ids below 7 are void
_ROAD, _BUILDING = 7, 11
_FROM = "Cityscapes comes from cityscapes-dataset.com/downloads"
_PHOTO = "_leftImg8bit.png"
_CITY = "scenes"


def open_cityscapes(data: str | Path, split: str) -> LabelFiles:
    """Opens Cityscapes for semantic segmentation: 19 classes; all else is void."""
    photos, files = _find(Path(data), split, "labelIds")
    places = {number: place for place, number in enumerate(CLASSES)}
    return LabelFiles(
        photos=photos,
        files=files,
        names=tuple(CLASSES.values()),
        classes=np.array([places.get(number, VOID) for number in range(_NUM_IDS)], np.int16),
        wrong_id="the label id {id}, but they go from 0 to 33; copy gtFine_trainvaltest again",
    )


def open_cityscapes_objects(data: str | Path, split: str) -> InstanceFiles:
    """Opens Cityscapes for instance segmentation: 8 classes; groups are crowds."""
    photos, files = _find(Path(data), split, "instanceIds")
    return InstanceFiles(photos, files, {}, tuple(CLASSES[number] for number in THINGS), _sort)


def open_segments(data: Path, options: SegmentOptions) -> ListedSegments[Path]:
    """Opens objects, and classes without objects, as regions; below label id 7 all is void."""
    merged = options.regions == "classes"
    photos, files = _find(data, options.split, "labelIds" if merged else "instanceIds")
    load = partial(_load_segments, crowd=() if merged else _GROUPS)
    return list_segments(data, options.split, photos.root, files, load)


def _load_segments(path: Path, photo: str, crowd: tuple[int, ...]) -> list[Segments]:
    """Ids below 1000 are label ids of classes; those above are objects."""
    ids = read_ids(path, photo)
    known = (ids >= _FIRST_CLASS) & (ids < _NUM_IDS) | (ids >= _PER_CLASS)
    return [Segments(np.where(known, ids, -1), str(path), crowd=crowd)]


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
    check_folders(images, hint=f"{_FROM} (leftImg8bit_trainvaltest.zip)")
    check_folders(truth, hint=f"{_FROM} (gtFine_trainvaltest.zip)")
    try:
        every = open_photos(images).keys
    except PhotosError:
        every = ()
    keys = [key for key in every if key.endswith(_PHOTO)]
    if not keys:
        raise AnnotationError(f"there are no photos CITY/*{_PHOTO} in {images}; {_FROM}")
    photos = Photos(str(images), str(images), keys)
    files = {key: truth / f"{key.removesuffix(_PHOTO)}_gtFine_{kind}.png" for key in keys}
    check_files(photos, files, hint=f"; {_FROM} (gtFine_trainvaltest.zip)")
    note_unused(photos, files, truth, f"*_gtFine_{kind}.png")
    if others := [key for key in every if not key.endswith(_PHOTO)]:
        note(
            f"{images}: {counted(len(others), 'photo')} not used, whose name doesn't end in "
            f"{_PHOTO}, the first is {others[0]}"
        )
    return photos, files


@dataclass(frozen=True)
class CityscapesLayout:
    """Writes scenes as Cityscapes, all in one city."""

    root: Path
    plan: ScenesPlan

    def __post_init__(self) -> None:
        if self.plan.num_things > len(THINGS):
            raise FormatError(
                f"format=cityscapes has room for {len(THINGS)} classes of objects, but the "
                f"cut-outs have {self.plan.num_things}; give fewer, or another format"
            )

    def find(self, split: str, number: int) -> dict[str, Any] | None:
        """An empty record of a picture that an earlier run wrote, if it is whole; else None."""
        whole = all(read_pixels(path) is not None for path in self._files(split, number))
        return {} if whole else None

    def save(self, split: str, number: int, picture: ScenePicture) -> dict[str, Any]:
        """Writes both maps, then the photo."""
        photo, label_ids, instance_ids = self._files(split, number)
        stuff = (_ROAD, _BUILDING) if self.plan.num_stuff == 2 else (_BUILDING,)
        table = np.array([*stuff, *THINGS], np.uint8)
        labels = table[picture.labels]
        instances = labels.astype(np.uint16)
        counts: Counter[int] = Counter()
        for one in range(1, int(picture.instances.max()) + 1):
            inside = picture.instances == one
            label = int(labels[inside][0])
            if not is_sliver(inside):
                instances[inside] = label * _PER_CLASS + counts[label]
                counts[label] += 1
        write_pixels(label_ids, labels)
        write_pixels(instance_ids, instances)
        write_pixels(photo, picture.rgb)
        return {}

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Does nothing: a split has no files of its own."""

    def _files(self, split: str, number: int) -> tuple[Path, Path, Path]:
        """The photo, the class map, the instance map."""
        stem = f"{_CITY}_{number:06d}_000019"
        photos, truth = (self.root / part / split / _CITY for part in ("leftImg8bit", "gtFine"))
        return (
            photos / f"{stem}{_PHOTO}",
            truth / f"{stem}_gtFine_labelIds.png",
            truth / f"{stem}_gtFine_instanceIds.png",
        )


FORMAT = Format(
    label_maps=open_cityscapes,
    objects=open_cityscapes_objects,
    segments=open_segments,
    options=("split", "regions", "crowd"),
    layout=CityscapesLayout,
)
