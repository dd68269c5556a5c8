"""How surfaces look where rays meet them: colours, normals, light and shadow.

Axes: n points, y x rows and columns of rays.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from detcon.scenes.camera import turn
from detcon.scenes.stage import Light, Solid, Stage
from detcon.scenes.textures import Texture, paint

Vectors = Float32[np.ndarray, "3 n"]
Values = Float32[np.ndarray, " n"]

FLOOR, WALL, FIRST_SOLID = 0, 1, 2  # numbers of surfaces
_OFF_SURFACE = 4e-3  # metres from which a shadow ray starts, beyond all rounding


@dataclass(frozen=True)
class Hits:
    """The first surface on each ray.

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
    """Linear colour, unit normal and strength of the highlight of each point."""

    colours: Vectors
    normals: Vectors
    gloss: Values


Patch = tuple[Texture, Values, Values, Vectors]  # of one surface: (u, v) on its pattern, normals


def radiance(stage: Stage, hits: Hits) -> Vectors:
    """The linear colour that each ray brings to the camera."""
    points = stage.camera.position[:, None, None] + hits.rays * hits.depth
    ways = to_lamp(stage.light, points).reshape(3, -1)
    points, rays = points.reshape(3, -1), hits.rays.reshape(3, -1)
    looks = _finish(stage, hits, points)
    owner = np.maximum(hits.surface.ravel(), 1) - np.uint8(1)  # the solid's number, from 1
    seen = lit(points, looks.normals, ways, owner, stage.solids, stage.light)
    free = openness(points, looks.normals, owner, stage.solids)
    return shade(looks, rays, ways, seen, free, stage.light)


def _finish(stage: Stage, hits: Hits, points: Vectors) -> Finish:
    """Colour, normal and gloss of each point, surface by surface."""
    surface, axis, rays = hits.surface.ravel(), hits.wall_axis.ravel(), hits.rays.reshape(3, -1)
    colours, normals = np.empty_like(points), np.empty_like(points)
    gloss = np.zeros(points.shape[1], np.float32)
    # metres that a ray spans at its point
    span = hits.depth.ravel() * np.float32(2 * stage.camera.tangent / hits.depth.shape[0])
    for number in np.flatnonzero(np.bincount(surface)):
        which = np.flatnonzero(surface == number)
        here = points[:, which]
        if number == FLOOR:
            patch = _floor(stage, here)
        elif number == WALL:
            patch = _walls(stage, here, axis[which])
        else:
            solid = stage.solids[number - FIRST_SOLID]
            patch = _patch_of(solid, here)
            gloss[which] = solid.gloss
        normals[:, which] = patch[3]
        colours[:, which] = _colours(patch, rays[:, which], span[which])
        if number == WALL and stage.skirting:
            board = which[here[2] < stage.skirting]
            colours[:, board] = np.array(stage.trim, np.float32)[:, None]
    return Finish(colours, normals, gloss)


def _colours(patch: Patch, rays: Vectors, span: Values) -> Vectors:
    """Colours of the pattern, without details finer than the `span` (metres) of a ray."""
    texture, u, v, normals = patch
    slant = np.abs((rays * normals).sum(0)) / np.sqrt((rays * rays).sum(0))
    blur = span / (np.float32(texture.period) * np.maximum(slant, np.float32(0.05)))
    return paint(texture, u, v, blur)


def _floor(stage: Stage, points: Vectors) -> Patch:
    u, v = points[:2] / np.float32(stage.floor.period)
    normals = np.zeros_like(points)
    normals[2] = 1
    return stage.floor, u, v, normals


def _walls(stage: Stage, points: Vectors, axis: UInt8[np.ndarray, " n"]) -> Patch:
    normals = np.zeros_like(points)
    for i in range(2):
        inwards = np.where(points[i] > stage.room[i] / 2, np.float32(-1), np.float32(1))
        normals[i] = np.where(axis == i, inwards, 0)
    along = np.where(axis == 0, points[1], points[0])
    period = np.float32(stage.walls.period)
    return stage.walls, along / period, points[2] / period, normals


def _patch_of(solid: Solid, points: Vectors) -> Patch:
    local = solid.local(points)
    u, v = solid.shape.skin(local, solid.size, solid.texture.period)
    return solid.texture, u, v, turn(solid.axes.T, solid.shape.normal(local, solid.size))


def to_lamp(light: Light, points: Float32[np.ndarray, "3 y x"]) -> Float32[np.ndarray, "3 y x"]:
    """From each point to the lamp; rays aim at different parts of it, so that shadows are soft.

    The four rays of a pixel aim at four quarters of the lamp, at four distances from its middle;
    for neighbouring pixels these are rotated.
    """
    ways = light.position[:, None, None] - points
    for number in range(16):
        ray, pixel = divmod(number, 4)
        radius = light.radius * np.sqrt(((ray + pixel) % 4 + 0.5) / 4)
        angle = np.pi / 2 * (ray + pixel / 4)
        here = (
            slice(2 * (pixel // 2) + ray // 2, None, 4),
            slice(2 * (pixel % 2) + ray % 2, None, 4),
        )
        ways[0][here] += np.float32(radius * np.cos(angle))
        ways[1][here] += np.float32(radius * np.sin(angle))
    return ways


def lit(
    points: Vectors,
    normals: Vectors,
    ways: Vectors,
    owner: UInt8[np.ndarray, " n"],
    solids: tuple[Solid, ...],
    light: Light,
) -> Values:
    """1 where the lamp is visible, 0 in shadow; `ways` lead from the points to the lamp.

    A solid is only tested for points in the shadow cone of its bounding sphere. `owner` is the
    number of the solid that a point lies on, from 1; 0 for none.
    """
    seen = np.ones(points.shape[1], np.float32)
    starts = points + np.float32(_OFF_SURFACE) * normals
    beams = starts - light.position[:, None]
    length = np.sqrt(beams[0] ** 2 + beams[1] ** 2 + beams[2] ** 2)
    for number, solid in enumerate(solids, start=1):
        axis = solid.centre - light.position
        away = float(np.linalg.norm(axis))
        spread = np.arcsin(min(1.0, solid.radius / away)) + np.arctan(light.radius / away)
        along = beams[0] * axis[0] + beams[1] * axis[1] + beams[2] * axis[2]
        hidden = (along > length * np.float32(away * np.cos(min(spread, 1.5)))) & (
            length > away - solid.radius - light.radius
        )
        if solid.shape.convex:
            hidden &= owner != number
        which = np.flatnonzero(hidden)
        if len(which):
            steps = solid.meet(starts[:, which], ways[:, which])
            seen[which[steps < 1]] = 0
    return seen


def openness(
    points: Vectors, normals: Vectors, owner: UInt8[np.ndarray, " n"], solids: tuple[Solid, ...]
) -> Values:
    """Ambient occlusion: how much ambient light the solids leave to each point.

    Each solid counts as a sphere, which takes the share cos(angle) (radius / distance)² of the
    light that falls on a plane.
    """
    free = np.ones(points.shape[1], np.float32)
    for number, solid in enumerate(solids, start=1):
        radius = np.float32(0.75 * solid.radius)
        x, y, z = (points[i] - solid.centre[i] for i in range(3))
        squared = x * x + y * y + z * z
        near = np.flatnonzero((squared < 12 * radius**2) & (owner != number))
        x, y, z, squared = x[near], y[near], z[near], np.maximum(squared[near], radius**2)
        facing = -(normals[0, near] * x + normals[1, near] * y + normals[2, near] * z)
        share = np.maximum(facing, 0) * radius**2 / (squared * np.sqrt(squared))
        free[near] *= 1 - np.float32(0.85) * np.minimum(share - 0.02, 1).clip(0)
    return free


def shade(
    looks: Finish, rays: Vectors, ways: Vectors, seen: Values, free: Values, light: Light
) -> Vectors:
    """Lambert's law, with Blinn's highlight, for a lamp whose light falls off with distance."""
    colours, normals, gloss = looks.colours, looks.normals, looks.gloss
    squared = ways[0] ** 2 + ways[1] ** 2 + ways[2] ** 2
    ways = ways / np.sqrt(squared)
    facing = normals[0] * ways[0] + normals[1] * ways[1] + normals[2] * ways[2]
    strength = seen * np.float32(5) / (np.float32(1) + squared)
    direct = np.maximum(facing, 0) * strength
    sky = free * (np.float32(0.75) + np.float32(0.25) * normals[2])
    shine = np.zeros_like(direct)
    which = np.flatnonzero((gloss > 0) & (direct > 0))
    half = ways[:, which] - rays[:, which] / np.sqrt((rays[:, which] ** 2).sum(0))
    angle = (half * normals[:, which]).sum(0) / np.sqrt((half**2).sum(0))
    shine[which] = (gloss[which] * strength[which]) * np.maximum(angle, 0) ** 40
    return np.stack(
        [
            colours[i] * (direct * np.float32(light.colour[i]) + sky * np.float32(light.ambient[i]))
            + shine * np.float32(light.colour[i])
            for i in range(3)
        ]
    )
