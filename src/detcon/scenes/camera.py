"""A pinhole camera: rays through pixels, and projection of points."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Float32


def turn(
    axes: Float32[np.ndarray, "3 3"], vectors: Float32[np.ndarray, "3 ..."]
) -> Float32[np.ndarray, "3 ..."]:
    """The coordinates of vectors along other axes.

    Written out, since a matrix product may round differently with another number of threads, and
    the same seed must give the same picture.
    """
    x, y, z = vectors
    return np.stack([x * a + y * b + z * c for a, b, c in axes])


@dataclass(frozen=True)
class Camera:
    """A camera that takes square pictures.

    Attributes:
        position: In the room, in metres.
        axes: Its own axes in the room: right, down, forward.
        tangent: Of half the angle of view.
    """

    position: Float32[np.ndarray, " 3"]
    axes: Float32[np.ndarray, "3 3"]
    tangent: float

    def rays(self, size: int) -> Float32[np.ndarray, "3 y x"]:
        """A ray through the centre of each pixel, as long as one metre of depth.

        No component is 0, so that one may divide by them.
        """
        rays = turn(
            self.axes.T,
            _plane(size) * np.array([self.tangent, self.tangent, 1], np.float32)[:, None, None],
        )
        return np.where(rays == 0, np.float32(1e-12), rays)

    def project(self, points: Float32[np.ndarray, "3 n"]) -> Float32[np.ndarray, "3 n"]:
        """Column and row (-1 to 1 across the picture), and depth in metres."""
        right, down, depth = turn(self.axes, points - self.position[:, None])
        scale = 1 / (np.float32(self.tangent) * np.maximum(depth, 1e-6))
        return np.stack([right * scale, down * scale, depth])

    def window(self, corners: Float32[np.ndarray, "3 n"], size: int) -> tuple[slice, slice] | None:
        """The rows and columns that a convex body may cover; None if it lies outside."""
        columns, rows, depth = self.project(corners)
        if depth.max() <= 0:
            return None
        if depth.min() <= 0.05:
            return slice(0, size), slice(0, size)
        spans = []
        for place in (rows, columns):
            first = max(0, int(np.floor((place.min() + 1) / 2 * size)) - 1)
            last = min(size, int(np.ceil((place.max() + 1) / 2 * size)) + 1)
            if first >= last:
                return None
            spans.append(slice(first, last))
        return spans[0], spans[1]


def look_at(
    position: Float[np.ndarray, " 3"], target: Float[np.ndarray, " 3"], angle: float
) -> Camera:
    """A level camera that looks at a point; `angle` of view in radians."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.array([forward[1], -forward[0], 0])
    right /= np.linalg.norm(right)
    down = np.array(
        [
            forward[1] * right[2] - forward[2] * right[1],
            forward[2] * right[0] - forward[0] * right[2],
            forward[0] * right[1] - forward[1] * right[0],
        ]
    )
    axes = np.stack([right, down, forward]).astype(np.float32)
    return Camera(position.astype(np.float32), axes, float(np.tan(angle / 2)))


@cache
def _plane(size: int) -> Float32[np.ndarray, "3 y x"]:
    """The picture plane: -1 to 1 to the right and down, at depth 1."""
    place = ((np.arange(size, dtype=np.float32) + 0.5) / size) * 2 - 1
    columns, rows = np.meshgrid(place, place)
    return np.stack([columns, rows, np.ones_like(rows)])
