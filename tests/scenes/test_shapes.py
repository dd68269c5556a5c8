"""The solids against slow references: what is inside, along rays; normals by differences."""

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from detcon.scenes.shapes import SHAPES


def outside(kind, p, size):
    """Positive outside, negative inside, 0 on the surface; roughly metres."""
    x, y, z = p
    around = np.hypot(x, y)
    if kind == "box":
        return max(abs(x) - size[0], abs(y) - size[1], abs(z) - size[2])
    if kind == "sphere":
        return np.sqrt(x * x + y * y + z * z) - size[0]
    if kind == "cylinder":
        return max(around - size[0], abs(z) - size[2])
    if kind == "cone":
        return max(beside_the_cone(p, size), -size[2] - z)
    return np.hypot(around - size[0], z) - size[2]


def beside_the_cone(p, size):
    """How far a point is out of the cone that goes on below the base."""
    around, slant = np.hypot(p[0], p[1]), np.hypot(size[0], 2 * size[2])
    return (around - size[0] * (size[2] - p[2]) / (2 * size[2])) * 2 * size[2] / slant


def size_of(kind, rng):
    a, b, c = rng.uniform(0.15, 0.6, 3)
    if kind == "torus":
        return (a + 0.15, a + 0.15, 0.2 * b + 0.04)
    return {"box": (a, b, c), "sphere": (a, a, a)}.get(kind, (a, a, c))


def rays_at(size, rng, num=40):
    """From all around, at and beside the solid; from one point each."""
    origins = rng.normal(size=(3, num))
    origins *= rng.uniform(1.6, 4, num) / np.linalg.norm(origins, axis=0)
    targets = rng.uniform(-0.7, 0.7, (3, num))
    return origins.astype(np.float32), (targets - origins).astype(np.float32)


@pytest.mark.parametrize("kind", SHAPES)
@given(seed=st.integers(0, 2**31))
@example(seed=33)  # a ray that grazes a torus for long
@settings(max_examples=15, deadline=None)
def test_a_ray_meets_the_surface_where_it_first_enters(kind, seed):
    rng = np.random.default_rng(seed)
    size = size_of(kind, rng)
    origins, directions = rays_at(size, rng)
    found = SHAPES[kind].meet(origins, directions, size)
    for o, d, t in zip(origins.T, directions.T, found, strict=True):
        last = min(t, 4.0)
        before = [outside(kind, o + s * d, size) for s in np.linspace(0, last, 150)[:-1]]
        # a ray that grazes may be seen as a miss or a hit: 4 mm on the way in is no grazing
        assert min(before) > -4e-3, "the ray went through"
        if np.isfinite(t):
            assert abs(outside(kind, o + t * d, size)) < 4e-3, "not on the surface"


@pytest.mark.parametrize("kind", SHAPES)
@given(seed=st.integers(0, 2**31))
@example(seed=3529)  # the rim of a cone
@settings(max_examples=10, deadline=None)
def test_normals_point_to_where_it_is_further_outside(kind, seed):
    rng = np.random.default_rng(seed)
    size = size_of(kind, rng)
    origins, directions = rays_at(size, rng)
    found = SHAPES[kind].meet(origins, directions, size)
    points = (origins + found * directions)[:, np.isfinite(found)]
    normals = SHAPES[kind].normal(points, size)
    assert np.allclose(np.linalg.norm(normals, axis=0), 1, atol=2e-2)
    steps = 1e-3 * np.eye(3)
    for p, n in zip(points.T.astype(float), normals.T, strict=True):
        if kind in ("box", "cylinder", "cone") and near_an_edge(kind, p, size):
            continue
        slope = [(outside(kind, p + s, size) - outside(kind, p - s, size)) / 2e-3 for s in steps]
        assert np.dot(slope, n) > 0.98


def near_an_edge(kind, p, size):
    """Where two faces meet, the normal is either's."""
    values = {
        "box": np.sort(np.abs(p) - size)[1:],
        "cylinder": np.array([np.hypot(p[0], p[1]) - size[0], abs(p[2]) - size[2]]),
        "cone": np.array([beside_the_cone(p, size), -size[2] - p[2]]),
    }[kind]
    tip = kind == "cone" and np.hypot(p[0], p[1]) < 0.02
    return tip or np.abs(values).max() < 0.01


@pytest.mark.parametrize("kind", ["sphere", "cylinder", "cone", "torus"])
def test_a_pattern_goes_around_a_whole_even_number_of_times(kind):
    """Else it would have a seam at the back."""
    size = size_of(kind, np.random.default_rng(1))
    angle = np.array([-np.pi + 1e-4, np.pi - 1e-4], np.float32)
    radius = size[0] if kind != "cone" else size[0] / 2
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle])
    for period in (0.05, 0.2, 0.5):
        u, _ = SHAPES[kind].skin(points.astype(np.float32), size, period)
        assert abs(u[1] - u[0]) == pytest.approx(round(abs(u[1] - u[0]) / 8) * 8, abs=1e-2)
        assert abs(u[1] - u[0]) > 7


@pytest.mark.parametrize("kind", SHAPES)
def test_the_box_around_a_solid_is_tight(kind):
    rng = np.random.default_rng(3)
    size = size_of(kind, rng)
    extent = np.array(SHAPES[kind].extent(size))
    points = rng.uniform(-1.1, 1.1, (40_000, 3)) * extent
    inside = points[[outside(kind, p, size) < 0 for p in points]]
    assert (np.abs(inside) <= extent).all()
    assert (np.abs(inside).max(0) > 0.9 * extent).all()
