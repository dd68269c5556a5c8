"""Regions that don't depend on pixels: a grid, and the whole photo."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import UInt8

from detcon.masks.masks import Masks


@dataclass(frozen=True)
class Grid:
    """A grid of rows x columns cells over the whole photo, before any crop.

    The paper's spatial heuristic (section 3.1 and table 4 of arXiv 2103.10957). Cells differ by
    at most one pixel in height and in width; ids run row by row.

    >>> import numpy as np
    >>> Grid(2, 3)(np.zeros((2, 6, 3), np.uint8)).labels.tolist()
    [[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]

    Args:
        rows: Cells from top to bottom.
        columns: Cells from left to right; the number of rows unless given.
    """

    rows: int = 5
    columns: int | None = None
    kind: Literal["grid"] = "grid"
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.columns is None:
            object.__setattr__(self, "columns", self.rows)
        if min(self.rows, self.columns or 0) < 1:
            raise ValueError(
                f"a grid needs at least one row and one column, got {self.rows} x {self.columns}"
            )

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        height, width, _ = image.shape
        rows, columns = min(self.rows, height), min(self.columns or self.rows, width)
        row = np.arange(height) * rows // height
        column = np.arange(width) * columns // width
        return Masks.from_labels(row[:, None] * columns + column)


@dataclass(frozen=True)
class WholeImage:
    """One region, the photo itself: turns DetCon-S into SimCLR and DetCon-B towards BYOL."""

    kind: Literal["whole_image"] = "whole_image"
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        return Masks.from_labels(np.zeros(image.shape[:2], np.int16))
