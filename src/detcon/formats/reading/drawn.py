"""Objects that people drew on photos: what YOLO, VOC XML, LabelMe, CVAT and VIA have in common.

The reader of a format turns its files into `Drawings`. From these come the objects of one split,
in pixels of the upright photos. Everything is checked at the start: each annotated photo is there,
can be opened, and has the size that its annotation says. What is left out is counted and named.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from detcon.formats.errors import AnnotationError
from detcon.formats.format import Format, LabelMaps, PhotoFiles, segments_of_objects
from detcon.formats.objects import Objects
from detcon.formats.reading.drawing import Drawing, Drawings, LeftOut
from detcon.formats.reading.holdout import Holdout, draw_split
from detcon.formats.reading.label_files import of_photo
from detcon.formats.reading.placing import Kept, keep_shapes, photo_size
from detcon.formats.segments import VOID, ListedSegments, SegmentOptions
from detcon.notes import note
from detcon.photos import Photos

_BACKGROUND = ("background", "_background_")


@dataclass(frozen=True, eq=False)
class DrawnObjects(PhotoFiles):
    """Photos with drawn objects.

    Attributes:
        photos: The photos; their keys.
        names: Of the classes.
        source: The data set's name in messages.
        box_alone: The first object without a mask; "" if all have one. Then there are no masks.
        sentences: On what was left out; the user has seen them.
    """

    photos: Photos
    names: tuple[str, ...]
    source: str
    box_alone: str
    sentences: tuple[str, ...]
    _kept: Mapping[str, Kept] = field(repr=False)

    def objects(self, key: str) -> Objects:
        """The objects of a photo, in the order of the file. Raises `AnnotationError`."""
        return of_photo(self.photos, self._kept, key).objects(masks=not self.box_alone)

    def label_file(self, key: str) -> Path:
        """Where the objects of a photo were read."""
        return Path(of_photo(self.photos, self._kept, key).place)


@dataclass(frozen=True, eq=False)
class DrawnLabels(LabelMaps):
    """The same as label maps: class 0 is the background; of two objects the later is on top."""

    photos: Photos
    names: tuple[str, ...]
    drawn: DrawnObjects
    classes: Int64[np.ndarray, " n"]

    def labels(self, key: str) -> UInt8[np.ndarray, "y x"]:
        """Draws the objects of a photo; crowds are void. Raises `AnnotationError`."""
        objects = self.drawn.objects(key)
        labels = np.zeros(objects.size, np.uint8)
        for number, (label, crowd) in enumerate(zip(objects.classes, objects.crowd, strict=True)):
            labels[objects.mask(number)] = VOID if crowd else self.classes[label]
        return labels

    def label_file(self, key: str) -> Path:
        """Where the objects of a photo were read."""
        return self.drawn.label_file(key)


def drawn_format(read: Callable[[Path], Drawings]) -> Format:
    """The `Format` of a reader: objects, their label maps where they have masks, and regions."""
    return Format(
        label_maps=partial(open_drawn_labels, read),
        objects=partial(open_drawn, read),
        segments=partial(_open_segments, read),
        options=("split", "regions", "crowd", "background"),
        draws_split=True,
    )


def open_drawn(
    read: Callable[[Path], Drawings],
    data: str | Path,
    split: str,
    *,
    holdout: Holdout | None = None,
) -> DrawnObjects:
    """Opens the objects of a split.

    Args:
        read: The format's reader.
        data: What it takes.
        split: train or val.
        holdout: How val is drawn where the data set has none.

    Raises:
        AnnotationError: The annotations can't be used, or a photo is missing, damaged or of
            another size.
        PhotosError: There are no photos.
    """
    found = read(Path(data))
    return _drawn(found, draw_split(found.parts, split, holdout, found.source), f" of {split}")


def open_drawn_labels(
    read: Callable[[Path], Drawings],
    data: str | Path,
    split: str,
    *,
    holdout: Holdout | None = None,
) -> DrawnLabels:
    """Opens the same as label maps. Raises also if there are boxes alone."""
    drawn = open_drawn(read, data, split, holdout=holdout)
    _check_masks(drawn)
    places, names = [], ["background"]
    for name in drawn.names:
        is_background = name.lower() in _BACKGROUND
        places.append(0 if is_background else len(names))
        names += [] if is_background else [name]
    if len(names) > VOID:
        raise AnnotationError(
            f"{drawn.source} has {len(drawn.names)} classes; {VOID - 1} are the most for label maps"
        )
    return DrawnLabels(drawn.photos, tuple(names), drawn, np.array(places, np.int64))


def _drawn(found: Drawings, drawings: Sequence[Drawing], which: str = "") -> DrawnObjects:
    """The objects of a split, checked against its photos; `which` names it in sentences."""
    photos = Photos(found.source, str(found.root), sorted(one.key for one in drawings))
    by_key: dict[str, Drawing] = {}
    for one in drawings:
        if (other := by_key.setdefault(one.key, one)) is not one:
            raise AnnotationError(
                f"{other.place} and {one.place} both annotate the photo {photos.path(one.key)}; "
                f"remove one of them"
            )
    _check_there(photos, by_key, found.source)
    shapes = [shape for part in found.parts.values() for one in part for shape in one.shapes]
    names = found.names or tuple(sorted({shape.label for shape in shapes}))
    if not names:
        raise AnnotationError(f"there is no object in {found.source}; there is nothing to learn")
    places = {name: place for place, name in enumerate(names)}
    kept: dict[str, Kept] = {}
    left, alone = LeftOut(), ""
    for key, drawing in by_key.items():
        kept[key], first = keep_shapes(drawing, photo_size(photos, drawing), places, left)
        alone = alone or first
    sentences = (*found.notes, *left.sentences(f"objects{which}"))
    if alone and any(one.polygons or one.mask is not None for one in shapes):
        sentences += (f"{alone} is a box without an outline, so that there are no masks",)
    if repeated := [one for one in kept.values() if one.num_repeated]:
        sentences += (
            f"objects{which} that repeat another of their photo: "
            f"{sum(o.num_repeated for o in repeated)} (they count each time), the first is "
            f"in {repeated[0].place}",
        )
    crowds = [one for one in kept.values() if one.crowd.any()]
    if crowds:
        num = sum(int(one.crowd.sum()) for one in crowds)
        sentences += (
            f"objects{which} marked as difficult, or as a crowd: {num} (neither learnt nor "
            f"counted), the first is in {crowds[0].place}",
        )
    for sentence in sentences:
        note(sentence)
    return DrawnObjects(photos, names, found.source, alone, sentences, kept)


def _open_segments(
    read: Callable[[Path], Drawings], data: Path, options: SegmentOptions
) -> ListedSegments[str]:
    found = read(data)
    drawings = draw_split(found.parts, options.split, None, found.source, or_whole=True)
    drawn = _drawn(found, drawings)
    _check_masks(drawn)
    folder = data if data.is_dir() else data.parent
    return segments_of_objects(drawn, folder, options.split)


def _check_masks(drawn: DrawnObjects) -> None:
    if drawn.box_alone:
        raise AnnotationError(
            f"{drawn.box_alone} is a box without an outline, which gives no mask; draw outlines, "
            f"or learn boxes alone, with task=detection"
        )


def _check_there(photos: Photos, drawings: Mapping[str, Drawing], source: str) -> None:
    missing = [key for key in photos.keys if not photos.path(key).is_file()]
    if missing:
        raise AnnotationError(
            f"{len(missing)} of {len(photos)} photos of {source} are missing, the first is "
            f"{photos.path(missing[0])}, which {drawings[missing[0]].place} annotates; copy them "
            f"there, or remove their annotations"
        )
