"""A solid in the room: one of five shapes, put somewhere, with a texture."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32

from detcon.scenes.shapes import SHAPES, Shape, Size
from detcon.scenes.textures import Texture

Kind = Literal["box", "sphere", "cylinder", "cone", "torus"]


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
class Solid:
    """A solid as the ray-caster sees it.

    Attributes:
        kind: Its shape, and its class.
        size: As `detcon.scenes.shapes` reads it, in metres.
        centre: In the room, in metres; z is up.
        axes: The solid's own axes in the room, one a row.
        texture: What its surface shows.
        gloss: The strength of the highlight, from 0 (dull).
    """

    kind: Kind
    size: Size
    centre: Float32[np.ndarray, " 3"]
    axes: Float32[np.ndarray, "3 3"]
    texture: Texture
    gloss: float = 0.0

    @property
    def shape(self) -> Shape:
        return SHAPES[self.kind]

    @property
    def radius(self) -> float:
        """Of the sphere around it."""
        return float(np.linalg.norm(self.shape.extent(self.size)))

    @property
    def corners(self) -> Float32[np.ndarray, "3 8"]:
        """Of the box around it, in the room."""
        signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), np.float32).reshape(3, 8)
        half = np.array(self.shape.extent(self.size), np.float32)[:, None]
        return turn(self.axes.T, signs * half) + self.centre[:, None]

    def local(self, points: Float32[np.ndarray, "3 n"]) -> Float32[np.ndarray, "3 n"]:
        """Points of the room in the solid's own frame."""
        return turn(self.axes, points - self.centre[:, None])

    def meet(
        self, origins: Float32[np.ndarray, "3 #n"], directions: Float32[np.ndarray, "3 n"]
    ) -> Float32[np.ndarray, " n"]:
        """How many directions lie between origin and surface; inf where the ray misses."""
        return self.shape.meet(self.local(origins), turn(self.axes, directions), self.size)
