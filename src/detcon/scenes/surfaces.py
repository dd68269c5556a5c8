"""What the surfaces that rays meet are like there: colour, normal, gloss.

Axes: y x rays, n points.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from detcon.scenes.solids import turn
from detcon.scenes.stage import Stage
from detcon.scenes.textures import Texture, paint

FLOOR, WALL, FIRST_SOLID = 0, 1, 2  # numbers of surfaces


@dataclass(frozen=True)
class Hits:
    """What the rays met first.

    Attributes:
        rays: Their directions, one metre of depth long.
        depth: Of the points they met, in metres.
        surface: The number of the surface: floor, walls, then the solids in turn.
        wall_axis: Which axis (0, 1) the wall stands across, where it is a wall.
    """

    rays: Float32[np.ndarray, "3 y x"]
    depth: Float32[np.ndarray, "y x"]
    surface: UInt8[np.ndarray, "y x"]
    wall_axis: UInt8[np.ndarray, "y x"]


@dataclass(frozen=True)
class Finish:
    """Of every point: linear colour, unit normal, strength of the highlight."""

    colours: Float32[np.ndarray, "3 n"]
    normals: Float32[np.ndarray, "3 n"]
    gloss: Float32[np.ndarray, " n"]


@dataclass(frozen=True)
class _Patch:
    """Points of one surface: where they are on its pattern, and where the surface looks."""

    texture: Texture
    u: Float32[np.ndarray, " n"]
    v: Float32[np.ndarray, " n"]
    normals: Float32[np.ndarray, "3 n"]


def finish(stage: Stage, hits: Hits, points: Float32[np.ndarray, "3 n"]) -> Finish:
    """Colour, normal and gloss of every point that was met, surface by surface."""
    surface, axis, rays = hits.surface.ravel(), hits.wall_axis.ravel(), hits.rays.reshape(3, -1)
    colours, normals = np.empty_like(points), np.empty_like(points)
    gloss = np.zeros(points.shape[1], np.float32)
    span = hits.depth.ravel() * np.float32(2 * stage.camera.tangent / hits.depth.shape[0])
    for number in np.flatnonzero(np.bincount(surface)):
        which = np.flatnonzero(surface == number)
        here = points[:, which]
        if number == FLOOR:
            patch = _floor(stage, here)
        elif number == WALL:
            patch = _walls(stage, here, axis[which])
        else:
            patch = _solid(stage, int(number) - FIRST_SOLID, here)
            gloss[which] = stage.solids[number - FIRST_SOLID].gloss
        normals[:, which] = patch.normals
        colours[:, which] = _colours(patch, rays[:, which], span[which])
        if number == WALL and stage.skirting:
            board = which[here[2] < stage.skirting]
            colours[:, board] = np.array(stage.trim, np.float32)[:, None]
    return Finish(colours, normals, gloss)


def _colours(
    patch: _Patch, rays: Float32[np.ndarray, "3 n"], span: Float32[np.ndarray, " n"]
) -> Float32[np.ndarray, "3 n"]:
    """Paints the pattern, as fine as rays that are `span` metres apart can see it."""
    slant = np.abs((rays * patch.normals).sum(0)) / np.sqrt((rays * rays).sum(0))
    blur = span / (np.float32(patch.texture.period) * np.maximum(slant, np.float32(0.05)))
    return paint(patch.texture, patch.u, patch.v, blur)


def _floor(stage: Stage, points: Float32[np.ndarray, "3 n"]) -> _Patch:
    u, v = points[:2] / np.float32(stage.floor.period)
    normals = np.zeros_like(points)
    normals[2] = 1
    return _Patch(stage.floor, u, v, normals)


def _walls(
    stage: Stage, points: Float32[np.ndarray, "3 n"], axis: UInt8[np.ndarray, " n"]
) -> _Patch:
    normals = np.zeros_like(points)
    for i in range(2):
        inwards = np.where(points[i] > stage.room[i] / 2, np.float32(-1), np.float32(1))
        normals[i] = np.where(axis == i, inwards, 0)
    along = np.where(axis == 0, points[1], points[0])
    period = np.float32(stage.walls.period)
    return _Patch(stage.walls, along / period, points[2] / period, normals)


def _solid(stage: Stage, number: int, points: Float32[np.ndarray, "3 n"]) -> _Patch:
    solid = stage.solids[number]
    local = solid.local(points)
    u, v = solid.shape.skin(local, solid.size, solid.texture.period)
    return _Patch(solid.texture, u, v, turn(solid.axes.T, solid.shape.normal(local, solid.size)))
