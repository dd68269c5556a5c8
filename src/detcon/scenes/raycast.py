"""Rendered scenes: solids in a room, with exact masks, classes and depth.

`render_scene` depends on nothing but its arguments. Two by two rays go through
each pixel; colours are averaged, labels are those of the majority.

Axes: y x pixels (or rays), n points.
"""

import numpy as np
from jaxtyping import Float32, UInt8, UInt16

from detcon.formats.writing.scenes import ScenePicture
from detcon.scenes.shading import FIRST_SOLID, FLOOR, WALL, Hits, radiance
from detcon.scenes.stage import KINDS, SOLIDS, Solid, Stage, draw_stage

CLASSES: tuple[str, ...] = ("floor", "wall", *KINDS)

_SAMPLES = 2  # rays a pixel, down and across
_WELL_SEEN = 0.012  # share of the picture that two solids, or the only one, cover at least
_TOO_LARGE = 0.33  # share of the picture that no solid exceeds


def render_scene(
    seed: int, index: int, size: int, solids: tuple[int, int] = SOLIDS
) -> ScenePicture:
    """Draws and renders picture `index` of the collection `seed`.

    Its instances are the solids that can be seen, its labels positions in `CLASSES`.

    Args:
        seed: Seed of the whole collection.
        index: Number of the picture.
        size: Height and width in pixels, at least 32.
        solids: The least and the most solids, as far as there is room.
    """
    attempt = 0
    while True:
        rng = np.random.default_rng(np.random.SeedSequence([seed, index, attempt]))
        stage = draw_stage(rng, solids)
        hits = _cast(stage, size * _SAMPLES)
        if _shows_enough(hits.surface, min(2, solids[0])):
            return _develop(stage, hits)
        attempt += 1


def _shows_enough(surface: UInt8[np.ndarray, "y x"], least: int) -> bool:
    areas = np.bincount(surface.ravel(), minlength=FIRST_SOLID + 1)[FIRST_SOLID:]
    well_seen = int((areas >= _WELL_SEEN * surface.size).sum())
    return well_seen >= least and int(areas.max()) <= _TOO_LARGE * surface.size


def _cast(stage: Stage, size: int) -> Hits:
    """The first surface on each ray."""
    rays = stage.camera.rays(size)
    depth, surface, wall_axis = _cast_room(stage, rays)
    for number, solid in enumerate(stage.solids, start=FIRST_SOLID):
        window = stage.camera.window(solid.corners, size)
        if window is None:
            continue
        inside = (slice(None), *window)
        within = rays[inside].reshape(3, -1)
        found = solid.meet(stage.camera.position[:, None], within).reshape(rays[inside].shape[1:])
        nearer = found < depth[window]
        depth[window][nearer] = found[nearer]
        surface[window][nearer] = number
    return Hits(rays, depth, surface, wall_axis)


def _cast_room(
    stage: Stage, rays: Float32[np.ndarray, "3 y x"]
) -> tuple[Float32[np.ndarray, "y x"], UInt8[np.ndarray, "y x"], UInt8[np.ndarray, "y x"]]:
    """Depth, floor or wall, and the axis that the wall stands across; seen from inside."""
    position = stage.camera.position
    to_x, to_y = (
        (np.where(rays[i] > 0, np.float32(stage.room[i]), 0) - position[i]) / rays[i]
        for i in range(2)
    )
    to_floor = np.where(rays[2] < 0, -position[2] / rays[2], np.float32(np.inf))
    to_wall = np.minimum(to_x, to_y)
    depth = np.minimum(to_wall, to_floor).astype(np.float32)
    return depth, (to_wall < to_floor).astype(np.uint8), (to_y < to_x).astype(np.uint8)


def _develop(stage: Stage, hits: Hits) -> ScenePicture:
    """Shades the first surface on each ray, and joins rays to pixels."""
    surface, depth = _majority(hits)
    rgb = _expose(radiance(stage, hits), len(surface))
    return ScenePicture(rgb, *_name(surface, stage.solids), depth)


def _majority(hits: Hits) -> tuple[UInt8[np.ndarray, "y x"], Float32[np.ndarray, "y x"]]:
    """The surface that most rays of a pixel met, and the depth of one of those rays."""
    steps = [(slice(i, None, _SAMPLES), slice(j, None, _SAMPLES)) for i in (0, 1) for j in (0, 1)]
    surfaces = np.stack([hits.surface[step] for step in steps])
    depths = np.stack([hits.depth[step] for step in steps])
    votes = np.stack([(surfaces == one).sum(0) for one in surfaces])
    winner = votes.argmax(0)[None]
    surface = np.take_along_axis(surfaces, winner, 0)[0]
    return surface, np.take_along_axis(depths, winner, 0)[0]


def _name(
    surface: UInt8[np.ndarray, "y x"], solids: tuple[Solid, ...]
) -> tuple[UInt16[np.ndarray, "y x"], UInt8[np.ndarray, "y x"]]:
    """Instance ids without gaps, and class ids."""
    classes = np.array([FLOOR, WALL, *(CLASSES.index(s.kind) for s in solids)], np.uint8)
    present = np.bincount(surface.ravel(), minlength=len(classes)) > 0
    present[:FIRST_SOLID] = False
    ids = np.where(present, np.cumsum(present), 0).astype(np.uint16)
    return ids[surface], classes[surface]


def _expose(light: Float32[np.ndarray, "3 n"], size: int) -> UInt8[np.ndarray, "y x 3"]:
    """Averages the rays of each pixel, sets the exposure, and applies sRGB's curve."""
    cells = light.reshape(3, size, _SAMPLES, size, _SAMPLES)
    linear = (cells[:, :, 0, :, 0] + cells[:, :, 0, :, 1]) + (
        cells[:, :, 1, :, 0] + cells[:, :, 1, :, 1]
    )
    white = np.percentile(linear.max(0), 98)
    linear = linear / np.float32(max(float(white), 1e-3)) * np.float32(0.95)
    tone = linear * (1 + linear * 0.12) / (1 + 0.12 * linear * linear)
    picture = np.clip(tone, 0, 1) ** np.float32(1 / 2.2) * 255
    return np.ascontiguousarray(np.round(picture).astype(np.uint8).transpose(1, 2, 0))
