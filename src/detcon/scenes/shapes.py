"""The five kinds of solid in their own frames: where rays meet them, normals, pattern coordinates.

In its own frame a solid has its centre at the origin and z along its axis. `size` is
(half width, half depth, half height); round solids use (radius, radius, half height), a torus
(radius of the ring, the same, radius of the tube). Axes: n rays or points.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Size = tuple[float, float, float]
Vectors = Float[np.ndarray, "3 n"]
Values = Float[np.ndarray, " n"]

_MARCH_STEPS = 100  # of sphere tracing; only rays that graze the tube need them all
_TOUCH = 1e-3  # metres: as near as this is a hit

# A ray along a plane divides by 0, one that misses a sphere has no root: inf and NaN say "missed".
_quiet = np.errstate(divide="ignore", invalid="ignore", over="ignore")


@dataclass(frozen=True)
class Shape:
    """The geometry of a kind of solid.

    Attributes:
        meet: (origins "3 #n", directions "3 n", size) -> how many directions to go from the
            origin to the surface; inf where the ray misses.
        normal: (points on the surface "3 n", size) -> unit normals that point outwards.
        skin: (points on the surface "3 n", size, period) -> the coordinates (u, v) of a pattern
            that repeats every unit; a unit is about `period` metres, and goes an even number of
            times around a round solid, so that no pattern has a seam.
        extent: size -> half the sides of the box around the solid.
        convex: No point of the surface hides another from a light.
    """

    meet: Callable[[Float[np.ndarray, "3 #n"], Vectors, Size], Values]
    normal: Callable[[Vectors, Size], Vectors]
    skin: Callable[[Vectors, Size, float], tuple[Values, Values]]
    extent: Callable[[Size], Size]
    convex: bool = True


def _slab(o: np.ndarray, d: np.ndarray, half: float) -> tuple[np.ndarray, np.ndarray]:
    """Where rays enter and leave the space between two planes."""
    step = 1 / d
    one, other = (-half - o) * step, (half - o) * step
    return np.minimum(one, other), np.maximum(one, other)


def _roots(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both solutions of a t² + 2 b t + c = 0; NaN where there are none."""
    root, over_a = np.sqrt(b * b - a * c), 1 / a
    return (-b - root) * over_a, (-b + root) * over_a


def _entry(enter: np.ndarray, leave: np.ndarray) -> Values:
    return np.where((enter <= leave) & (enter > 0), enter, np.inf).astype(np.float32)


@_quiet
def _meet_box(o: np.ndarray, d: np.ndarray, size: Size) -> np.ndarray:
    enters, leaves = zip(*(_slab(o[i], d[i], size[i]) for i in range(3)), strict=True)
    return _entry(
        np.maximum(np.maximum(*enters[:2]), enters[2]),
        np.minimum(np.minimum(*leaves[:2]), leaves[2]),
    )


@_quiet
def _meet_sphere(o: np.ndarray, d: np.ndarray, size: Size) -> np.ndarray:
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    c = o[0] * o[0] + o[1] * o[1] + o[2] * o[2] - size[0] ** 2
    return _entry(*_roots(a, b, c))


@_quiet
def _meet_cylinder(o: np.ndarray, d: np.ndarray, size: Size) -> np.ndarray:
    return _entry(*_through_cylinder(o, d, size))


def _through_cylinder(o: np.ndarray, d: np.ndarray, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Where rays enter and leave a cylinder."""
    a = d[0] * d[0] + d[1] * d[1]
    b = o[0] * d[0] + o[1] * d[1]
    c = o[0] * o[0] + o[1] * o[1] - size[0] ** 2
    side, slab = _roots(a, b, c), _slab(o[2], d[2], size[2])
    return np.maximum(side[0], slab[0]), np.minimum(side[1], slab[1])


@_quiet
def _meet_cone(o: np.ndarray, d: np.ndarray, size: Size) -> np.ndarray:
    """The side is a quadratic whose mirror image above the tip is cut off; the base, a plane."""
    half, slope = size[2], (size[0] / (2 * size[2])) ** 2
    above = o[2] - half  # the tip is at z = half
    a = d[0] * d[0] + d[1] * d[1] - slope * d[2] * d[2]
    b = o[0] * d[0] + o[1] * d[1] - slope * above * d[2]
    c = o[0] * o[0] + o[1] * o[1] - slope * above * above
    nearest = (-half - o[2]) / d[2]
    x, y = o[0] + nearest * d[0], o[1] + nearest * d[1]
    nearest = np.where((x * x + y * y <= size[0] ** 2) & (nearest > 0), nearest, np.inf)
    for t in _roots(a, b, c):
        inside = (np.abs(o[2] + t * d[2]) <= half) & (t > 0) & (t < nearest)
        nearest = np.where(inside, t, nearest)
    return nearest.astype(np.float32)


@_quiet
def _meet_torus(o: np.ndarray, d: np.ndarray, size: Size) -> np.ndarray:
    """Sphere tracing (Hart, 1996): a step as long as the distance never passes the surface."""
    ring, tube = size[0], size[2]
    enter, leave = _through_cylinder(o, d, (ring + tube, ring + tube, tube))
    enter = np.maximum(enter, 0)  # a ray may begin within the cylinder around the torus
    start = np.where(enter <= leave, enter, np.inf).astype(np.float32)
    found = np.full(d.shape[1], np.inf, np.float32)
    active = np.flatnonzero(np.isfinite(start))
    speed = np.sqrt((d[:, active] ** 2).sum(0))
    unit = d[:, active] / speed
    first = np.broadcast_to(o, d.shape)[:, active] + start[active] * d[:, active]
    gone = np.zeros(len(active), np.float32)
    limit = 2.1 * (ring + tube)  # longer than any way through
    for _ in range(_MARCH_STEPS):
        x, y, z = first + gone * unit
        away = np.hypot(np.hypot(x, y) - ring, z) - tube
        touch = away < _TOUCH
        found[active[touch]] = (start[active] + gone / speed)[touch]
        gone = np.where(touch | (gone > limit), np.float32(np.inf), gone + away)
        going = np.isfinite(gone)
        left = int(going.sum())
        if left == 0:
            break
        if 2 * left < len(gone):  # copying costs more than a step of the few that are done
            active, first, unit = active[going], first[:, going], unit[:, going]
            speed, gone = speed[going], gone[going]
    return found


def _normal_box(p: np.ndarray, size: Size) -> np.ndarray:
    near = np.abs(p) / np.array(size, np.float32)[:, None]
    face = near.argmax(0)
    normal = np.zeros_like(p)
    every = np.arange(p.shape[1])
    normal[face, every] = np.sign(p[face, every])
    return normal


def _normal_sphere(p: np.ndarray, size: Size) -> np.ndarray:
    return p / np.float32(size[0])


def _normal_cylinder(p: np.ndarray, size: Size) -> np.ndarray:
    around = np.maximum(np.hypot(p[0], p[1]), 1e-9)
    cap = np.abs(p[2]) - size[2] > around - size[0]
    side = np.where(cap, 0, 1 / around)
    return np.stack([p[0] * side, p[1] * side, np.where(cap, np.sign(p[2]), 0)]).astype(p.dtype)


def _normal_cone(p: np.ndarray, size: Size) -> np.ndarray:
    radius, height = size[0], 2 * size[2]
    around = np.maximum(np.hypot(p[0], p[1]), 1e-9)
    from_side = np.abs((around - radius * (size[2] - p[2]) / height) * height)
    base = (p[2] + size[2]) * np.hypot(radius, height) < from_side
    out = np.where(base, 0, height / np.hypot(radius, height) / around)
    up = np.where(base, -1, radius / np.hypot(radius, height))
    return np.stack([p[0] * out, p[1] * out, up]).astype(p.dtype)


def _normal_torus(p: np.ndarray, size: Size) -> np.ndarray:
    around = np.maximum(np.hypot(p[0], p[1]), 1e-9)
    from_ring = 1 - size[0] / around
    normal = np.stack([p[0] * from_ring, p[1] * from_ring, p[2]])
    return (normal / np.maximum(np.sqrt((normal**2).sum(0)), 1e-9)).astype(p.dtype)


def _repeats(length: float, period: float) -> int:
    """How often a pattern goes around: 8, 16 or 32 times, which suits noise of period 8 too."""
    return int(2 ** np.clip(np.round(np.log2(length / period)), 3, 5))


def _turn(p: np.ndarray) -> np.ndarray:
    """How far around the axis, from 0 to 1."""
    return np.arctan2(p[1], p[0]) / np.float32(2 * np.pi) + np.float32(0.5)


def _skin_box(p: np.ndarray, size: Size, period: float) -> tuple[np.ndarray, np.ndarray]:
    face = (np.abs(p) / np.array(size, np.float32)[:, None]).argmax(0)
    scale = np.float32(1 / period)
    u = np.where(face == 0, p[1], p[0]) * scale
    return u, np.where(face == 2, p[1], p[2]) * scale


def _skin_sphere(p: np.ndarray, size: Size, period: float) -> tuple[np.ndarray, np.ndarray]:
    repeats = _repeats(2 * np.pi * size[0], period)
    latitude = np.arcsin(np.clip(p[2] / np.float32(size[0]), -1, 1)) / np.float32(2 * np.pi)
    return _turn(p) * repeats, latitude * repeats


def _skin_round(p: np.ndarray, size: Size, period: float) -> tuple[np.ndarray, np.ndarray]:
    """Cylinders and cones: around, and up the side; a flat end has rings and spokes."""
    repeats = _repeats(2 * np.pi * size[0], period)
    scale = np.float32(repeats / (2 * np.pi * size[0]))
    end = np.float32(size[0]) - np.hypot(p[0], p[1])
    flat = np.abs(np.abs(p[2]) - np.float32(size[2])) < 1e-3
    return _turn(p) * repeats, np.where(flat, end, p[2] - np.float32(size[2])) * scale


def _skin_torus(p: np.ndarray, size: Size, period: float) -> tuple[np.ndarray, np.ndarray]:
    around = _repeats(2 * np.pi * size[0], period)
    tube = np.arctan2(p[2], np.hypot(p[0], p[1]) - np.float32(size[0]))
    times = _repeats(2 * np.pi * size[2], period) if period < size[2] else 4
    return _turn(p) * around, tube * np.float32(times / (2 * np.pi))


SHAPES = {
    "box": Shape(_meet_box, _normal_box, _skin_box, lambda size: size),
    "sphere": Shape(_meet_sphere, _normal_sphere, _skin_sphere, lambda size: size),
    "cylinder": Shape(_meet_cylinder, _normal_cylinder, _skin_round, lambda size: size),
    "cone": Shape(_meet_cone, _normal_cone, _skin_round, lambda size: size),
    "torus": Shape(
        _meet_torus,
        _normal_torus,
        _skin_torus,
        lambda size: (size[0] + size[2], size[0] + size[2], size[2]),
        convex=False,
    ),
}
