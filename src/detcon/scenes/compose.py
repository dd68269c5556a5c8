"""Copy-paste composition: cut-outs on background photos, with exact masks.

As in "Cut, Paste and Learn" (Dwibedi et al., 2017). Edges are blended with alpha, colours go part
of the way to the background's, and blur and noise are added to the whole picture, so that the
borders of pasted objects aren't the only cue.

Axes: y x pixels, k objects.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8, UInt16

from detcon.formats.writing.scenes import ScenePicture
from detcon.photos import Photos
from detcon.scenes.cutouts import Cutouts

_LONGEST_SIDE = (0.22, 0.75)  # of an object, as a share of the picture's
_TRIES = 12  # places to try for an object
_REDRAWS = 20  # attempts at a picture until it has enough objects
_IN_SIGHT, _UNCOVERED = 0.5, 0.3  # least shares of an object within the picture, and still visible
_BY_AREA = 0.7  # scale below which averaging is worth five times the time
_MEMORY_BYTES = 256 << 20  # of decoded pictures that a process keeps


@dataclass(frozen=True)
class _Piece:
    """A cut-out ready to be pasted: its place in the picture, RGBA (premultiplied) and mask."""

    rows: slice
    columns: slice
    rgba: UInt8[np.ndarray, "h w 4"]
    mask: Bool[np.ndarray, "h w"]


def compose_scene(
    cutouts: Cutouts,
    backgrounds: Photos,
    seed: int,
    index: int,
    size: int,
    objects: tuple[int, int] = (2, 6),
) -> ScenePicture:
    """Composes picture `index` of the collection `seed`.

    The same arguments and files always give the same picture. Every class is equally likely.
    Later instances are in front of earlier ones; labels are 0 for the background, else the class
    id of the cut-out.

    Args:
        cutouts: Objects to paste.
        backgrounds: Photos to paste them on.
        seed: Seed of the whole collection.
        index: Number of the picture.
        size: Height and width in pixels.
        objects: The least and the most objects.

    Raises:
        CutoutsError: If a cut-out can't be used.
        UnreadablePhoto: If a background can't be decoded.
    """
    for attempt in range(_REDRAWS):
        rng = np.random.default_rng(np.random.SeedSequence([seed, index, attempt]))
        canvas = _background(rng, backgrounds, size).astype(np.float32)
        instances = np.zeros((size, size), np.uint16)
        classes = _paste_objects(rng, cutouts, canvas, instances, objects)
        if len(classes) >= objects[0] or attempt == _REDRAWS - 1:
            break
    ids = np.array([0, *classes], np.uint8)
    return ScenePicture(_photograph(rng, canvas), instances, ids[instances], None)


def _paste_objects(
    rng: np.random.Generator,
    cutouts: Cutouts,
    canvas: Float32[np.ndarray, "y x 3"],
    instances: UInt16[np.ndarray, "y x"],
    objects: tuple[int, int],
) -> list[int]:
    """Pastes objects into canvas and instances, both in place; returns their classes."""
    wanted = int(rng.integers(objects[0], objects[1] + 1))
    labels, classes = list(cutouts.by_label), []
    areas = [0]  # of each object when it was pasted
    for _ in range(wanted):
        label = labels[int(rng.integers(len(labels)))]
        keys = cutouts.by_label[label]
        key = keys[int(rng.integers(len(keys)))]
        picture = _memory.get(
            ("cutout", cutouts.root, key, len(canvas)),
            lambda key=key: cutouts.read(key, len(canvas)),
        )
        for attempt in range(_TRIES):
            piece = _place(rng, picture, len(canvas), shrink=0.93**attempt)
            if piece is not None and _leaves_all_visible(piece, instances, areas):
                _paste(rng, piece, canvas)
                instances[piece.rows, piece.columns][piece.mask] = len(areas)
                areas.append(int(piece.mask.sum()))
                classes.append(label)
                break
    return classes


def _background(
    rng: np.random.Generator, backgrounds: Photos, size: int
) -> UInt8[np.ndarray, "y x 3"]:
    """A square part of a photo, at random."""
    key = backgrounds.keys[int(rng.integers(len(backgrounds)))]
    photo = _memory.get(
        ("background", backgrounds.root, key, size),
        lambda: _shrink_short_side(backgrounds.read(key), 2 * size),
    )
    side = max(1, round(min(photo.shape[:2]) * rng.uniform(0.6, 1)))
    top, left = (int(rng.integers(0, length - side + 1)) for length in photo.shape[:2])
    part = photo[top : top + side, left : left + side]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    how = cv2.INTER_AREA if size < _BY_AREA * side else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(part), (size, size), interpolation=how)


def _shrink_short_side(photo: UInt8[np.ndarray, "y x 3"], side: int) -> UInt8[np.ndarray, "h w 3"]:
    factor = side / min(photo.shape[:2])
    if factor >= 1:
        return photo
    height, width = (max(1, round(length * factor)) for length in photo.shape[:2])
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)


def _place(
    rng: np.random.Generator, picture: UInt8[np.ndarray, "h w 4"], size: int, *, shrink: float
) -> _Piece | None:
    """Scales, flips, turns and places a cut-out; None where too little of it would show."""
    low, high = np.log(_LONGEST_SIDE)
    longest = size * shrink * float(np.exp(rng.uniform(low, high)))
    stretch = np.exp(rng.uniform(-0.1, 0.1, 2))
    height, width = picture.shape[:2]
    scale = longest / max(height, width)
    scaled = _scaled(picture, scale * stretch[0], scale * stretch[1])
    if rng.random() < 0.5:
        scaled = scaled[:, ::-1]
    turned = _turned(scaled, rng.uniform(-180, 180) if rng.random() < 0.2 else rng.normal(0, 12))
    height, width = turned.shape[:2]
    top, left = (rng.uniform(0.08, 0.92, 2) * size - [height / 2, width / 2]).round().astype(int)
    rows = slice(max(0, top), max(0, min(size, top + height)))
    columns = slice(max(0, left), max(0, min(size, left + width)))
    part = turned[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    alpha = turned[..., 3]
    threshold = max(4, int(alpha.max()) // 2)  # glass is never opaque
    mask, whole = part[..., 3] > threshold, int((alpha > threshold).sum())
    if mask.sum() < max(12, _IN_SIGHT * whole):
        return None
    return _Piece(rows, columns, part, mask)


def _scaled(
    picture: UInt8[np.ndarray, "h w 4"], down: float, across: float
) -> UInt8[np.ndarray, "y x 4"]:
    height, width = picture.shape[:2]
    size = (max(1, round(width * across)), max(1, round(height * down)))
    how = cv2.INTER_AREA if min(down, across) < _BY_AREA else cv2.INTER_LINEAR
    return cv2.resize(picture, size, interpolation=how)


def _turned(picture: UInt8[np.ndarray, "h w 4"], degrees: float) -> UInt8[np.ndarray, "y x 4"]:
    """Turns a picture about its middle, on a canvas that is large enough."""
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    new_width = int(np.ceil(width * cos + height * sin)) + 2
    new_height = int(np.ceil(width * sin + height * cos)) + 2
    turn[:, 2] += (new_width - width) / 2, (new_height - height) / 2
    return cv2.warpAffine(np.ascontiguousarray(picture), turn, (new_width, new_height))


def _leaves_all_visible(
    piece: _Piece, instances: UInt16[np.ndarray, "y x"], areas: list[int]
) -> bool:
    """Whether enough of every object behind it would still be visible."""
    covered = np.bincount(instances[piece.rows, piece.columns][piece.mask], minlength=len(areas))
    for number in range(1, len(areas)):
        if covered[number]:
            left = int((instances == number).sum()) - int(covered[number])
            if left < max(12, _UNCOVERED * areas[number]):
                return False
    return True


def _paste(rng: np.random.Generator, piece: _Piece, canvas: Float32[np.ndarray, "y x 3"]) -> None:
    """Blends a piece into the canvas, in place; its colours go part of the way to the canvas's."""
    rgba = piece.rgba
    if rng.random() < 0.6:
        rgba = cv2.GaussianBlur(rgba, (0, 0), float(rng.uniform(0.3, 0.9)))
    behind = canvas[piece.rows, piece.columns]
    alpha = rgba[..., 3:].astype(np.float32) / 255
    *own, opacity = cv2.mean(rgba)
    own = np.array(own) * 255 / max(opacity, 1e-6)
    likeness, contrast = rng.uniform(0, 0.4), rng.uniform(0.8, 1.15)
    aim = own + likeness * (np.array(cv2.mean(behind)[:3]) - own) + rng.uniform(-12, 12)
    shift = (aim - contrast * own).astype(np.float32)
    colours = np.float32(contrast) * rgba[..., :3] + shift * alpha
    colours = np.minimum(np.maximum(colours, 0), 255 * alpha)
    canvas[piece.rows, piece.columns] = behind * (1 - alpha) + colours


def _photograph(
    rng: np.random.Generator, canvas: Float32[np.ndarray, "y x 3"]
) -> UInt8[np.ndarray, "y x 3"]:
    """Adds the same slight blur and noise to the whole picture, as a lens and a sensor do."""
    if rng.random() < 0.5:
        canvas = cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.2, 0.6)))
    noise = _noise(len(canvas))
    top, left = rng.integers(0, 64, 2)
    noise = noise[top : top + len(canvas), left : left + len(canvas)]
    canvas = canvas + np.float32(rng.uniform(0, 4)) * noise
    return np.clip(np.round(canvas), 0, 255).astype(np.uint8)


@cache
def _noise(size: int) -> Float32[np.ndarray, "y x 3"]:
    rng = np.random.default_rng(20211011)
    return rng.standard_normal((size + 64, size + 64, 3), np.float32)


@dataclass
class _Memory:
    """A cache of decoded pictures, which keeps the first ones until `room` bytes are full."""

    room: int
    pictures: dict[tuple, np.ndarray] = field(default_factory=dict)

    def get(self, key: tuple, decode: Callable[[], np.ndarray]) -> np.ndarray:
        if key in self.pictures:
            return self.pictures[key]
        picture = decode()
        if picture.nbytes <= self.room:
            self.pictures[key] = picture
            self.room -= picture.nbytes
        return picture


_memory = _Memory(_MEMORY_BYTES)
