"""One random cut, applied the same way to a photo and to its masks.

Axes: y x pixels of the photo or of its map, s pixels of a view's side, r regions, h w grid.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, Int64, Integer, UInt8

from detcon.data.recipe import Resize, ViewsRecipe
from detcon.data.regions import region_shares, region_weights
from detcon.masks.masks import Masks
from detcon.ops.compiled import compiled
from detcon.photos import resize as resized


@dataclass(frozen=True)
class Cut:
    """A rectangle of a photo, in the photo's pixels, and whether it is mirrored.

    The same cut gives the same view of the photo and of its map, which may have any resolution.

    >>> cut = Cut(top=0, left=1, height=2, width=2, flip=True)
    >>> photo = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    >>> cut.image(photo, 2)[..., 0]  # columns 1 and 2, mirrored
    array([[2, 1],
           [5, 4]], dtype=uint8)
    >>> cut.labels(photo[..., 0], (2, 3), 2)  # a map of the same photo
    array([[2, 1],
           [5, 4]], dtype=uint8)
    """

    top: int
    left: int
    height: int
    width: int
    flip: bool

    def image(
        self, photo: UInt8[np.ndarray, "y x c"], size: int, resize: Resize = "area"
    ) -> UInt8[np.ndarray, "s s c"]:
        """Cuts the view out of the photo, in 8 bits, with OpenCV.

        `official` is bicubic without antialiasing, as `tf.image.resize` in the official code. Both
        libraries sample at half-pixel centres, but OpenCV's cubic has a = -0.75, repeats the edge
        pixels and rounds to 8 bits; TensorFlow's has a = -0.5, renormalises the weights inside and
        keeps floats. In 240 random cuts of six photographs, the results differ by 0.4 to 0.9 grey
        levels on average, and by up to 19 at sharp edges.

        `area` averages over each output pixel's area where the cut shrinks by more than 2 (in the
        mean of both directions, and enlarges in neither), so that fine texture does not alias;
        otherwise it is the same bicubic.
        """
        crop = photo[self.top : self.top + self.height, self.left : self.left + self.width]
        shrinks = self.height * self.width > 4 * size**2 and min(self.height, self.width) >= size
        how = cv2.INTER_AREA if resize == "area" and shrinks else cv2.INTER_CUBIC
        view = resized(crop, (size, size), how)
        return cv2.flip(view, 1).reshape(view.shape) if self.flip else view

    def reduced(self, factor: int) -> "Cut":
        """The same cut of the photo decoded at 1/`factor` of its size.

        Its edges are moved to whole pixels there, by half of one at most.
        """
        top, left = round(self.top / factor), round(self.left / factor)
        bottom = round((self.top + self.height) / factor)
        right = round((self.left + self.width) / factor)
        return Cut(top, left, max(bottom - top, 1), max(right - left, 1), self.flip)

    def labels(
        self, labels: Integer[np.ndarray, "y x"], photo_size: tuple[int, int], size: int
    ) -> Integer[np.ndarray, "s s"]:
        """Cuts the view out of the photo's map: the nearest pixel by half-pixel centres.

        Args:
            labels: The map of the whole photo, at any resolution.
            photo_size: Height and width of the photo that the cut was drawn for.
            size: The side of the view.
        """
        rows, columns = self._places(labels, photo_size, size)
        return labels[rows[:, None], columns]

    def weights(
        self,
        masks: Masks,
        photo_size: tuple[int, int],
        size: int,
        grid: tuple[int, int],
        *,
        rng: np.random.Generator,
        absent: bool = False,
        **drawing: Any,
    ) -> tuple[Int64[np.ndarray, " r"], Float32[np.ndarray, "r h w"]]:
        """Samples masks that the view shows, and where on the encoder's grid they lie.

        Args:
            masks: The masks of the whole photo, at any resolution.
            photo_size: Height and width of the photo that the cut was drawn for.
            size: The side of the view.
            grid: Rows and columns of the encoder's output.
            absent: Whether masks that the view doesn't show are drawn too, with weights 0.
            drawing: Further arguments of `region_weights`, which says what is returned and raised.
        """
        places = self._places(masks.patterns, photo_size, size)
        also = masks.ids if absent else None
        return region_weights(
            masks.patterns, masks.membership, grid, rng=rng, places=places, also=also, **drawing
        )

    def shares(
        self,
        masks: Masks,
        photo_size: tuple[int, int],
        size: int,
        grid: tuple[int, int],
        ids: Int64[np.ndarray, " r"],
    ) -> Float32[np.ndarray, "r h w"]:
        """Where given masks lie in the view on another grid, by shares of area.

        See `region_shares`; the other arguments are those of `weights`.
        """
        places = self._places(masks.patterns, photo_size, size)
        return region_shares(masks.patterns, masks.membership, grid, ids, places=places)

    def _places(
        self, labels: Integer[np.ndarray, "y x"], photo_size: tuple[int, int], size: int
    ) -> tuple[Int64[np.ndarray, " s"], Int64[np.ndarray, " s"]]:
        """Which rows and columns of the photo's map are those of the view's."""
        rows = _nearest(self.top, self.height, photo_size[0], labels.shape[0], size, False)
        columns = _nearest(self.left, self.width, photo_size[1], labels.shape[1], size, self.flip)
        return rows, columns


def draw_cut(rng: np.random.Generator, size: tuple[int, int], recipe: ViewsRecipe) -> Cut:
    """Draws a cut as the official code does (`get_random_crop_window` in `tf_image_ops.py`).

    One draw of area and aspect, rounded, clipped to the photo, and at least one pixel wide and
    high. torchvision draws up to ten times, and takes a central cut in the end.
    """
    photo_height, photo_width = size
    draws = rng.random(5).tolist()
    (least, greatest), (narrowest, widest) = recipe.area, recipe.aspect
    area = (least + draws[0] * (greatest - least)) * photo_height * photo_width
    aspect = narrowest * (widest / narrowest) ** draws[1]  # uniform in its logarithm
    width = min(max(round(math.sqrt(area * aspect)), 1), photo_width)
    height = min(max(round(math.sqrt(area / aspect)), 1), photo_height)
    left = int(draws[2] * (photo_width - width + 1))
    top = int(draws[3] * (photo_height - height + 1))
    return Cut(top, left, height, width, flip=draws[4] < recipe.flip)


@compiled
def _nearest(start, length, photo, stored, size, mirrored):
    """The map pixel under the centre of each view pixel; in whole numbers, so without rounding.

    A view pixel i has its centre at start + (i + 1/2) * length / size in the photo.
    """
    places = np.empty(size, np.int64)
    for i in range(size):
        centre = 2 * size * start + (2 * i + 1) * length  # in 1 / (2 * size) pixels of the photo
        # times stored / photo: in pixels of the map, rounded down
        places[size - 1 - i if mirrored else i] = centre * stored // (2 * size * photo)
    return places
