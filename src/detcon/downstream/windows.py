"""Training windows of labelled pictures: a random scale, place and flip, for all that is cut."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8

from detcon.photos import resize


@dataclass(frozen=True)
class Window:
    """Where a picture is cut, so that its photo and its labels can't be cut apart.

    Attributes:
        size: Height and width of the window.
        factor: By which the picture is scaled first.
        scaled: Height and width of the picture then.
        top: The window's first row in the scaled picture; negative where that is smaller.
        left: Its first column likewise.
        mirrored: Whether the window is a mirror image at last.
    """

    size: tuple[int, int]
    factor: float
    scaled: tuple[int, int]
    top: int
    left: int
    mirrored: bool

    def cut_photo(
        self, photo: UInt8[np.ndarray, "y x c"], fill: tuple[int, ...]
    ) -> UInt8[np.ndarray, "h w c"]:
        """Scales by area or linearly, and cuts; `fill` is the colour around a small picture."""
        smooth = cv2.INTER_AREA if self.factor < 1 else cv2.INTER_LINEAR
        return self._cut(resize(photo, (self.scaled[1], self.scaled[0]), smooth), fill)

    def cut_map(
        self, values: Shaped[np.ndarray, "y x"], fill: int | float
    ) -> Shaped[np.ndarray, "h w"]:
        """Scales to the nearest value, and cuts; `fill` lies around a small picture."""
        nearest = cv2.INTER_NEAREST_EXACT
        return self._cut(cv2.resize(values, self.scaled[::-1], interpolation=nearest), fill)

    def _cut(self, scaled: np.ndarray, fill: int | float | tuple[int, ...]) -> np.ndarray:
        (h, w), top, left = self.size, self.top, self.left
        window = np.empty((h, w, *scaled.shape[2:]), scaled.dtype)
        window[:] = fill
        part = scaled[max(top, 0) : top + h, max(left, 0) : left + w]
        y, x = max(-top, 0), max(-left, 0)
        window[y : y + part.shape[0], x : x + part.shape[1]] = part
        return np.ascontiguousarray(window[:, ::-1] if self.mirrored else window)


def draw_window(
    rng: np.random.Generator,
    picture: tuple[int, int],
    *,
    size: tuple[int, int],
    scale: tuple[float, float],
    flip: float,
    place: Literal["random", "centre"] = "random",
) -> Window:
    """Draws a window (MoCo, appendix A.5).

    Where the scaled picture is smaller than the window it lies somewhere inside.

    Args:
        rng: Where the draws come from.
        picture: Height and width of what is cut from.
        size: Height and width of the window.
        scale: The bounds of the factor, drawn uniformly.
        flip: The probability of a mirror image.
        place: Anywhere, or always the middle.
    """
    factor = rng.uniform(*scale)
    y, x = (max(1, round(side * factor)) for side in picture)
    spare = (y - size[0], x - size[1])
    top, left = (n // 2 if place == "centre" else _place(rng, n) for n in spare)
    return Window(size, factor, (y, x), top, left, mirrored=bool(rng.random() < flip))


def _place(rng: np.random.Generator, spare: int) -> int:
    """Where a window begins along an axis that is longer by `spare`, or shorter if negative."""
    low, high = sorted((0, spare))
    return int(rng.integers(low, high + 1))
