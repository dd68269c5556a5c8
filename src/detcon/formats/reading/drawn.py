"""Objects that people drew on photos: what YOLO, VOC XML, LabelMe, CVAT and VIA have in common.

The reader of a format turns its files into `Drawings`. From these come the objects of one split,
in pixels of the upright photos. Everything is checked at the start: each annotated photo is there,
can be opened, and has the size that its annotation says. What is left out is counted and named.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from PIL import Image
from pycocotools import mask as coco_mask

from detcon.formats.errors import AnnotationError
from detcon.formats.format import Format, LabelMaps, PhotoFiles, segments_of_objects
from detcon.formats.objects import Objects
from detcon.formats.reading.holdout import Holdout, draw_split
from detcon.formats.reading.label_files import of_photo
from detcon.formats.reading.shapes import Shape
from detcon.formats.segments import VOID, ListedSegments, SegmentOptions
from detcon.notes import note
from detcon.photos import Photos, UnreadablePhoto

_RLE: Any = coco_mask  # its stubs know one kind of argument each
_ORIENTATION = 0x0112  # of EXIF
_BACKGROUND = ("background", "_background_")


@dataclass(frozen=True, eq=False)
class Drawing:
    """What is drawn on one photo.

    Attributes:
        key: The photo, from the root of `Drawings`.
        place: The file, or the part of one, for messages.
        shapes: Its objects; there may be none.
        size: Height and width of the photo, if the file says.
        in_shares: Whether coordinates are shares of the photo's width and height, not pixels.
    """

    key: str
    place: str
    shapes: Sequence[Shape]
    size: tuple[int, int] | None = None
    in_shares: bool = False


@dataclass(frozen=True, eq=False)
class Drawings:
    """All annotations of a data set.

    Attributes:
        root: The folder that keys are relative to.
        source: The data set's name in messages.
        parts: By split: train, val, test. Where the data set has no split, all are under "".
        names: Of the classes; empty: those that occur, sorted.
        notes: Sentences on what was left out.
    """

    root: Path
    source: str
    parts: Mapping[str, Sequence[Drawing]]
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Kept:
    """The objects of one photo, compactly. `codes` are run-length codes, empty for boxes alone."""

    place: str
    size: tuple[int, int]
    boxes: Float32[np.ndarray, "n 4"]
    classes: Int64[np.ndarray, " n"]
    crowd: Bool[np.ndarray, " n"]
    codes: tuple[bytes, ...]

    def objects(self, *, masks: bool) -> Objects:
        """The same as `Objects`, with or without masks."""
        codes = self.codes if masks else ()
        segments = tuple({"size": list(self.size), "counts": code} for code in codes)
        return Objects(self.size, self.boxes, self.classes, self.crowd, segments)


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


class LeftOut:
    """Counts what is left out, by reason, with the first place of each."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}

    def add(self, reason: str, place: str) -> None:
        """`reason` says what they are, such as "points or lines"."""
        self._places.setdefault(reason, []).append(place)

    def sentences(self, what: str) -> tuple[str, ...]:
        """A sentence for each reason. `what` are the things counted, in the plural."""
        return tuple(
            f"{what} left out: {len(places)} ({reason}), the first is {places[0]}"
            for reason, places in self._places.items()
        )


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
    return _drawn(found, draw_split(found.parts, split, holdout, found.source))


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


def keep_shapes(
    drawing: Drawing, size: tuple[int, int], names: Mapping[str, int], left: LeftOut
) -> tuple[Kept, str]:
    """Brings the shapes of a photo into its pixels.

    Boxes and polygons that reach over the edge are clipped; objects outside the photo, or of no
    area, are left out and counted.

    Args:
        drawing: The shapes.
        size: Height and width of the photo.
        names: The class of each label.
        left: Counts what is left out.

    Returns:
        The objects, and the place of the first that has no mask; "" if all have one.

    Raises:
        AnnotationError: A shape lies more than a photo's side outside the photo.
    """
    scale = np.array(size[::-1], float) if drawing.in_shares else np.ones(2)
    boxes, classes, crowd, codes, alone = [], [], [], [], ""
    for shape in drawing.shapes:
        box = shape.box * np.tile(scale, 2)
        points = np.concatenate([shape.box.reshape(2, 2), *shape.polygons]) * scale
        if points.min() < -max(size) or points.max() > 2 * max(size):
            raise AnnotationError(
                f"{shape.place} reaches far out of its photo {drawing.key}, which has {size[1]} x "
                f"{size[0]} pixels: to {points.min():g} or {points.max():g}; correct or remove it"
            )
        box = np.clip(box, 0, np.tile(size[::-1], 2))
        if not (box[2] > box[0] and box[3] > box[1]):
            left.add("outside the photo, or of no area", shape.place)
            continue
        boxes.append(box)
        classes.append(names[shape.label])
        crowd.append(shape.crowd)
        code = _code(shape, size, scale)
        alone = alone or ("" if code else shape.place)
        codes.append(code)
    kept = Kept(
        place=drawing.place,
        size=size,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.array(classes, np.int64),
        crowd=np.array(crowd, bool),
        codes=() if alone else tuple(codes),
    )
    return kept, alone


def _drawn(found: Drawings, drawings: Sequence[Drawing]) -> DrawnObjects:
    """The objects of a split, checked against its photos."""
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
        kept[key], first = keep_shapes(drawing, _size(photos, drawing), places, left)
        alone = alone or first
    sentences = (*found.notes, *left.sentences("objects"))
    if alone and any(one.codes for one in kept.values()):
        sentences += (f"{alone} is a box without an outline, so that there are no masks",)
    crowds = [one for one in kept.values() if one.crowd.any()]
    if crowds:
        sentences += (
            f"objects marked as difficult: {sum(int(one.crowd.sum()) for one in crowds)} (neither "
            f"learnt nor counted), the first is in {crowds[0].place}",
        )
    for sentence in sentences:
        note(sentence)
    return DrawnObjects(photos, names, found.source, alone, sentences, kept)


def _open_segments(
    read: Callable[[Path], Drawings], data: Path, options: SegmentOptions
) -> ListedSegments[str]:
    found = read(data)
    parts = found.parts
    drawn = _drawn(found, parts.get("") or draw_split(parts, options.split, None, found.source))
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


def _size(photos: Photos, drawing: Drawing) -> tuple[int, int]:
    """Height and width of a photo, from its header; the annotation must agree."""
    sizes = header_size(photos.path(drawing.key))
    if sizes is None:
        try:
            height, width = photos.read(drawing.key).shape[:2]
        except UnreadablePhoto as error:
            raise AnnotationError(str(error)) from error
        sizes = (height, width), (height, width)
    upright, stored = sizes
    if drawing.size in (None, upright):
        return upright
    told, path = drawing.size, photos.path(drawing.key)
    why = "correct the annotation, or copy the photo that it was drawn on"
    if told == stored:
        why = (
            "EXIF turns the photo, and the annotation was drawn on the unturned one; save the "
            "photo without its EXIF orientation"
        )
    raise AnnotationError(
        f"{drawing.place} is of a photo of {told[1]} x {told[0]} pixels, but {path} has "
        f"{upright[1]} x {upright[0]} (upright): {why}"
    )


def header_size(data: bytes | Path) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Height and width of a photo, upright and as stored; None if its header can't be read."""
    try:
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as picture:
            width, height = picture.size
            # looking for EXIF behind a PNG's pixels would decode them
            has_exif = picture.format != "PNG" or "exif" in picture.info
            turn = picture.getexif().get(_ORIENTATION, 1) if has_exif else 1
    except Exception:  # Pillow has no one exception for a damaged file
        return None
    lies = turn in (5, 6, 7, 8)
    return ((width, height) if lies else (height, width)), (height, width)


def _code(shape: Shape, size: tuple[int, int], scale: Float[np.ndarray, "2"]) -> bytes:
    """The run-length code of a shape; empty for a box."""
    if shape.mask is not None:
        left, top = shape.corner
        whole = np.zeros(size, np.uint8, order="F")
        rows = slice(max(top, 0), max(top + shape.mask.shape[0], 0))
        columns = slice(max(left, 0), max(left + shape.mask.shape[1], 0))
        part = whole[rows, columns]
        part[:] = shape.mask[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]]
        return _RLE.encode(whole)["counts"]
    if not shape.polygons:
        return b""
    polygons = [(points * scale).ravel().tolist() for points in shape.polygons]
    return _RLE.merge(_RLE.frPyObjects(polygons, *size))["counts"]
