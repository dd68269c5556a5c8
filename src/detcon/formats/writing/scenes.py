"""What all layouts of `detcon scenes` share: pictures, their objects, and the interface."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8, UInt16

from detcon.files import write_whole
from detcon.photos import UnreadablePhoto, read_stored

_JPEG_QUALITY, _PNG_EFFORT = 92, 3


@dataclass(frozen=True)
class ScenePicture:
    """A rendered or composed picture, as it is written; composed ones have no depth."""

    rgb: UInt8[np.ndarray, "y x 3"]
    instances: UInt16[np.ndarray, "y x"]
    labels: UInt8[np.ndarray, "y x"]
    depth: Float32[np.ndarray, "y x"] | None


def write_pixels(path: Path, pixels: np.ndarray) -> None:
    """Writes a PNG or, if the name says so, a JPEG; three channels are RGB."""
    options = {
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, _PNG_EFFORT],
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
    }
    if pixels.ndim == 3:
        pixels = pixels[..., ::-1]
    data = cv2.imencode(path.suffix, np.ascontiguousarray(pixels), options[path.suffix])[1]
    write_whole(path, data.tobytes(), durable=False)


def read_pixels(path: Path) -> Any:
    """The pixels of a file, or None where it is missing, cut off or damaged."""
    with suppress(FileNotFoundError, UnreadablePhoto):
        return read_stored(path, str(path))
    return None


@dataclass(frozen=True)
class ScenesPlan:
    """What a layout must know of the scenes that it will hold.

    Attributes:
        names: Of the classes, by class id: stuff first, then things.
        num_train: How many pictures there are to train on.
        has_depth: Whether the scenes are rendered, and have depth; composites have none.
    """

    names: tuple[str, ...]
    num_train: int
    has_depth: bool

    @property
    def num_stuff(self) -> int:
        """How many classes are no objects: floor and walls, or a composite's background."""
        return 2 if self.has_depth else 1

    @property
    def num_things(self) -> int:
        """How many classes are those of objects."""
        return len(self.names) - self.num_stuff


@runtime_checkable
class Layout(Protocol):
    """Writes the files of pictures; picklable. A record is what `finish` must know of a picture."""

    def find(self, split: str, number: int) -> dict[str, Any] | None:
        """The record of a picture that an earlier run wrote, if it is whole; else None."""
        ...

    def save(self, split: str, number: int, picture: ScenePicture) -> dict[str, Any]:
        """Writes the files of a picture; returns its record."""
        ...

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Writes what concerns a split as a whole; train comes first, val last."""
        ...


_SLIVER = 0.002  # of the picture


def is_sliver(mask: Bool[np.ndarray, "y x"]) -> bool:
    """Whether an object is too small to be learnt or counted; formats with crowds say so."""
    return bool(mask.sum() < _SLIVER * mask.size)


def boxes_of(instances: UInt16[np.ndarray, "y x"]) -> Int32[np.ndarray, "k 4"]:
    """The box of each instance's visible pixels: left, top, right, bottom, the latter exclusive.

    Ids of instances go from 1 to k without gaps; 0 is none.
    """
    from scipy import ndimage  # half a second, which `--help` would wait for

    boxes = np.zeros((int(instances.max()), 4), np.int32)
    for number, found in enumerate(ndimage.find_objects(instances)):
        assert found is not None, "ids have no gaps"
        rows, columns = found
        boxes[number] = columns.start, rows.start, columns.stop, rows.stop
    return boxes


def describe_objects(
    instances: UInt16[np.ndarray, "y x"], labels: UInt8[np.ndarray, "y x"]
) -> list[dict[str, Any]]:
    """A record for the index file of every object: id, class id, box, visible area in pixels."""
    objects = []
    for number, box in enumerate(boxes_of(instances), start=1):
        inside = instances == number
        objects.append(
            {
                "id": number,
                "class": int(labels[inside][0]),
                "box": [int(side) for side in box],
                "area": int(inside.sum()),
            }
        )
    return objects
