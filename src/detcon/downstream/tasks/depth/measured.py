"""Photos with depth maps, whatever format they come in, as training and scoring want them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from detcon.downstream.pictures import LabelError
from detcon.formats.format import DepthMaps
from detcon.photos import shrink


@dataclass(frozen=True)
class Measured:
    """A photo and its depth map, in metres, NaN where nothing was measured."""

    key: str
    image: UInt8[np.ndarray, "y x c"]
    depth: Float32[np.ndarray, "h w"]

    @property
    def nbytes(self) -> int:
        """What keeping it costs."""
        return self.image.nbytes + self.depth.nbytes


@dataclass(frozen=True)
class DepthSplit:
    """The training or the validation pictures, read when asked for.

    Attributes:
        maps: The reader.
        name: How messages call the split.
        max_side: The longest side of the photos as read; None leaves them as they are.
        whole: Depth maps keep their size: predictions are judged at that. Else they are shrunk
            with the photo, to the nearest pixel: crops are cut from both.
        channels: Of the photos.
    """

    maps: DepthMaps
    name: str
    max_side: int | None = None
    whole: bool = False
    channels: int = 3

    @property
    def keys(self) -> Sequence[str]:
        """The names of the pictures."""
        return self.maps.keys

    def read(self, index: int) -> Measured:
        """Decodes a photo and its depth; what isn't above 0 and finite wasn't measured.

        Raises:
            UnreadablePhoto: The photo is damaged.
            AnnotationError: The depth is missing or damaged.
            LabelError: It is of another size than the photo.
        """
        key = self.maps.keys[index]
        photo, depth = self.maps.photo(key, self.channels), self.maps.depth(key)
        if photo.shape[:2] != depth.shape:
            raise LabelError(
                f"the depth map of {key} in {self.name} is {_size(depth)}, but its photo is "
                f"{_size(photo)} (upright); a depth map must have exactly the photo's size"
            )
        depth = np.asarray(depth, np.float32)
        depth = np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))
        photo = shrink(photo, self.max_side)
        return Measured(key, photo, depth if self.whole else resize_nearest(depth, photo.shape[:2]))

    def check(self) -> None:
        """Looks for a picture with any depth at all; the first one has, but for mistakes.

        Raises:
            LabelError: There is none.
        """
        if all(np.isnan(self.read(index).depth).all() for index in range(len(self.keys))):
            raise LabelError(
                f"no pixel of the {len(self.keys)} depth maps in {self.name} was measured (what "
                f"isn't above 0 m and finite counts as missing); check the files"
            )


def resize_nearest(
    depth: Float32[np.ndarray, "y x"], size: tuple[int, ...]
) -> Float32[np.ndarray, "h w"]:
    """Brings a depth map to another height and width; mixes no two depths."""
    if depth.shape == size:
        return depth
    return cv2.resize(depth, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[0]} x {array.shape[1]} pixels"
