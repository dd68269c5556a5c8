"""Drawn shapes in the pixels of their photo, which must have the size that its annotation says."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile
from pycocotools import mask as coco_mask

from detcon.formats.errors import AnnotationError
from detcon.formats.objects import Objects
from detcon.formats.reading.drawing import Drawing, LeftOut
from detcon.formats.reading.shapes import Shape
from detcon.photos import Photos, UnreadablePhoto

_RLE: Any = coco_mask  # its stubs know one kind of argument each
_ORIENTATION = 0x0112  # of EXIF
_SIDES = (0x0100, 0x0101)  # width and length of a TIFF


@dataclass(frozen=True, eq=False)
class Kept:
    """The objects of one photo, compactly. `codes` are run-length codes, empty for boxes alone."""

    place: str
    size: tuple[int, int]
    boxes: Float32[np.ndarray, "n 4"]
    classes: Int64[np.ndarray, " n"]
    crowd: Bool[np.ndarray, " n"]
    codes: tuple[bytes, ...]

    @property
    def num_repeated(self) -> int:
        """How many objects repeat another: its class, its box and its mask."""
        codes = self.codes or [b""] * len(self.boxes)
        boxes = [box.tobytes() for box in self.boxes]
        return len(boxes) - len(set(zip(self.classes.tolist(), boxes, codes, strict=True)))

    def objects(self, *, masks: bool) -> Objects:
        """The same as `Objects`, with or without masks."""
        codes = self.codes if masks else ()
        segments = tuple({"size": list(self.size), "counts": code} for code in codes)
        return Objects(self.size, self.boxes, self.classes, self.crowd, segments)


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
                f"{shape.place} reaches far out of its photo {drawing.key} of {size[1]} x "
                f"{size[0]} pixels: its coordinates go from {points.min():g} to {points.max():g}; "
                "correct or remove it"
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


def photo_size(photos: Photos, drawing: Drawing) -> tuple[int, int]:
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
            if isinstance(picture, TiffImageFile):  # which has turned its size already
                width, height = (picture.tag_v2[side] for side in _SIDES)
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
