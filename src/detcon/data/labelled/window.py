"""The training window: a random scale, place and flip of a photo and of all its labels."""

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, Integer, Shaped, UInt8

from detcon.photos import resize


@dataclass(frozen=True)
class Window:
    """A rectangle over a scaled photo: cut where that is larger, filled up where it is smaller.

    Sizes are height and width.

    Attributes:
        size: Of the window.
        photo: Of the photo before scaling.
        factor: By which the photo is scaled.
        scaled: Of the photo after scaling.
        top: The window's first row in the scaled photo; negative where there is room above.
        left: Its first column likewise.
        mirrored: Whether the window is mirrored at the end.
    """

    size: tuple[int, int]
    photo: tuple[int, int]
    factor: float
    scaled: tuple[int, int]
    top: int = 0
    left: int = 0
    mirrored: bool = False

    def cut_photo(
        self, photo: UInt8[np.ndarray, "y x c"], fill: tuple[int, ...]
    ) -> UInt8[np.ndarray, "h w c"]:
        """Scales by area or linearly, and cuts; `fill` is the colour around a small photo."""
        smooth = cv2.INTER_AREA if self.factor < 1 else cv2.INTER_LINEAR
        return self._cut(resize(photo, (self.scaled[1], self.scaled[0]), smooth), fill)

    def cut_map(
        self, values: Shaped[np.ndarray, "y x"], fill: int | float
    ) -> Shaped[np.ndarray, "h w"]:
        """Scales to the nearest value, and cuts; `fill` lies around a small photo."""
        nearest = cv2.INTER_NEAREST_EXACT
        return self._cut(cv2.resize(values, self.scaled[::-1], interpolation=nearest), fill)

    def cut_boxes(self, boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        """The visible part of boxes; one that lies outside has no area."""
        boxes = np.clip(boxes, 0, _edges(self.photo)) * self._factors()
        boxes = np.clip(boxes - [self.left, self.top] * 2, 0, _edges(self.size))
        if self.mirrored:
            boxes[:, [2, 0]] = self.size[1] - boxes[:, [0, 2]]
        return boxes.astype(np.float32)

    def boxes_back(self, boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        """From the window, which isn't mirrored, to the photo's own pixels, within the photo."""
        boxes = (boxes + [self.left, self.top] * 2) / self._factors()
        return np.clip(boxes, 0, _edges(self.photo)).astype(np.float32)

    def places(self) -> tuple[Integer[np.ndarray, " h"], Integer[np.ndarray, " w"]]:
        """The photo's rows and columns under the window's pixels; some may lie outside it."""
        rows, columns = (
            np.floor((np.arange(self.size[i]) + begin + 0.5) * self.photo[i] / self.scaled[i])
            for i, begin in enumerate((self.top, self.left))
        )
        return rows.astype(int), columns.astype(int)[:: -1 if self.mirrored else 1]

    def _cut(self, scaled: np.ndarray, fill: int | float | tuple[int, ...]) -> np.ndarray:
        (h, w), top, left = self.size, self.top, self.left
        window = np.empty((h, w, *scaled.shape[2:]), scaled.dtype)
        window[:] = fill
        part = scaled[max(top, 0) : top + h, max(left, 0) : left + w]
        y, x = max(-top, 0), max(-left, 0)
        window[y : y + part.shape[0], x : x + part.shape[1]] = part
        return np.ascontiguousarray(window[:, ::-1] if self.mirrored else window)

    def _factors(self) -> Float[np.ndarray, " 4"]:
        return _edges(self.scaled) / _edges(self.photo)


def draw_window(
    rng: np.random.Generator,
    photo: tuple[int, int],
    *,
    size: tuple[int, int],
    scale: tuple[float, float],
    flip: float,
    place: Literal["random", "centre"] = "random",
    fit: bool = False,
) -> Window:
    """Draws a window (MoCo, appendix A.5).

    Where the scaled photo is smaller than the window it lies somewhere inside.

    Args:
        photo: Height and width of the photo.
        size: Height and width of the window.
        scale: The bounds of the factor, drawn uniformly.
        flip: The probability of a mirror image.
        place: Anywhere, or always the middle.
        fit: The factor is relative to the photo fitted into the window, not to its own size.
    """
    factor = rng.uniform(*scale)
    window = fitted(photo, size, factor)
    if not fit:
        y, x = (max(1, round(side * factor)) for side in photo)
        window = Window(size, photo, factor, (y, x))
    spare = [window.scaled[i] - size[i] for i in (0, 1)]
    top, left = (n // 2 if place == "centre" else _place(rng, n) for n in spare)
    return replace(window, top=top, left=left, mirrored=bool(rng.random() < flip))


def fitted(photo: tuple[int, int], size: tuple[int, int], factor: float = 1.0) -> Window:
    """The photo with its longest side `factor` times the window's, from the upper left corner."""
    longest = max(size) * factor
    y, x = (max(1, round(side * longest / max(photo))) for side in photo)
    return Window(size, photo, longest / max(photo), (y, x))


def _place(rng: np.random.Generator, spare: int) -> int:
    """Where a window begins along an axis that is longer by `spare`, or shorter if negative."""
    low, high = sorted((0, spare))
    return int(rng.integers(low, high + 1))


def _edges(size: tuple[int, int]) -> Float[np.ndarray, " 4"]:
    """The bounds of left, top, right and bottom."""
    return np.array([size[1], size[0]] * 2, np.float64)
