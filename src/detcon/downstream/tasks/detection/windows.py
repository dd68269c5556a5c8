"""Where a photo and its objects come to lie in a square of one fixed size."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from detcon.formats.objects import Objects
from detcon.photos import resize


@dataclass(frozen=True)
class Window:
    """A square over a scaled photo: cut where it is larger, filled up where it is smaller.

    Attributes:
        size: Pixels along a side.
        photo: Height and width of the photo before.
        scaled: Height and width of the photo after scaling.
        top: Where the square begins in the scaled photo; negative where there is room above.
        left: The same, from the left.
        mirrored: Whether the square is turned over at last.
    """

    size: int
    photo: tuple[int, int]
    scaled: tuple[int, int]
    top: int = 0
    left: int = 0
    mirrored: bool = False

    def cut(
        self, photo: UInt8[np.ndarray, "y x c"], fill: tuple[int, ...]
    ) -> UInt8[np.ndarray, "s s c"]:
        """The photo in the square, with `fill` around it."""
        smaller = self.scaled[0] < self.photo[0] or self.scaled[1] < self.photo[1]
        height, width = self.scaled
        scaled = resize(photo, (width, height), cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        square = np.empty((self.size, self.size, len(fill)), np.uint8)
        square[:] = fill
        rows, columns = self._inside(0, self.top), self._inside(1, self.left)
        part = scaled[_shift(rows, self.top), _shift(columns, self.left)]
        square[rows, columns] = part.reshape(*part.shape[:2], len(fill))
        return np.ascontiguousarray(square[:, ::-1] if self.mirrored else square)

    def boxes(self, boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        """The visible part of boxes; one that lies outside has no area."""
        boxes = np.clip(boxes, 0, self._edges(self.photo)) * self._factors()
        boxes = np.clip(boxes - [self.left, self.top] * 2, 0, self.size)
        if self.mirrored:
            boxes = np.stack(
                [self.size - boxes[:, 2], boxes[:, 1], self.size - boxes[:, 0], boxes[:, 3]], 1
            )
        return boxes.astype(np.float32)

    def boxes_back(self, boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        """From the square, which isn't mirrored, to the photo's own pixels, within the photo."""
        boxes = (boxes + [self.left, self.top] * 2) / self._factors()
        return np.clip(boxes, 0, self._edges(self.photo)).astype(np.float32)

    def masks(
        self, objects: Objects, chosen: Bool[np.ndarray, " n"], boxes: Float[np.ndarray, "m 4"]
    ) -> UInt8[np.ndarray, "m s s"]:
        """The masks of the chosen objects, by the nearest pixel, drawn within their boxes alone.

        Args:
            objects: With masks, in the photo.
            chosen: Which ones.
            boxes: Of those, as `boxes` gives them.
        """
        squares = np.zeros((len(boxes), self.size, self.size), np.uint8)
        rows = self._source(0, self.top)
        columns = self._source(1, self.left)[:: -1 if self.mirrored else 1]
        for square, number, box in zip(squares, np.flatnonzero(chosen), boxes, strict=True):
            mask = objects.mask(int(number))
            left, top = np.maximum(np.floor(box[:2]).astype(int) - 1, 0)
            right, bottom = np.ceil(box[2:]).astype(int) + 1
            y, x = rows[top:bottom], columns[left:right]
            known = ((y >= 0) & (y < self.photo[0]))[:, None] & (x >= 0) & (x < self.photo[1])
            near = mask[y.clip(0, self.photo[0] - 1)][:, x.clip(0, self.photo[1] - 1)]
            square[top:bottom, left:right] = near & known
        return squares

    def _factors(self) -> Float[np.ndarray, " 4"]:
        return self._edges(self.scaled) / self._edges(self.photo)

    def _edges(self, size: tuple[int, int]) -> Float[np.ndarray, " 4"]:
        return np.array([size[1], size[0]] * 2, np.float64)

    def _inside(self, axis: int, begin: int) -> slice:
        """The part of the square that the photo covers."""
        return slice(max(-begin, 0), min(self.scaled[axis] - begin, self.size))

    def _source(self, axis: int, begin: int) -> np.ndarray:
        """The photo's row or column that each of the square's pixels lies in."""
        places = np.arange(self.size) + begin + 0.5
        return np.floor(places * self.photo[axis] / self.scaled[axis]).astype(int)


def _shift(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


def whole(photo: tuple[int, int], size: int) -> Window:
    """The photo with its longest side as long as the square, in the upper left corner."""
    return Window(size, photo, _scaled(photo, size))


def draw_window(
    rng: np.random.Generator,
    photo: tuple[int, int],
    *,
    size: int,
    scale: tuple[float, float],
    flip: float,
) -> Window:
    """Scales the longest side to between `scale` times the square; any place is as likely.

    Args:
        rng: Where the draws come from.
        photo: Height and width.
        size: Of the square.
        scale: The bounds of the factor, drawn uniformly.
        flip: The probability of a mirror image.
    """
    scaled = _scaled(photo, size * rng.uniform(*scale))
    room = [sorted((0, side - size)) for side in scaled]
    top, left = (int(rng.integers(low, high, endpoint=True)) for low, high in room)
    return Window(size, photo, scaled, top, left, bool(rng.random() < flip))


def _scaled(photo: tuple[int, int], longest: int | float) -> tuple[int, int]:
    height, width = (max(1, round(side * longest / max(photo))) for side in photo)
    return height, width
