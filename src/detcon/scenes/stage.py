"""A scene before it is rendered: a room, solids in it, a light and a camera."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float32

from detcon.scenes.camera import Camera, look_at, turn
from detcon.scenes.shapes import SHAPES, Shape, Size
from detcon.scenes.textures import Colour, Texture, draw_palette, draw_texture

Kind = Literal["box", "sphere", "cylinder", "cone", "torus"]


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
        """Radius of the bounding sphere, in metres."""
        return float(np.linalg.norm(self.shape.extent(self.size)))

    @property
    def corners(self) -> Float32[np.ndarray, "3 8"]:
        """Corners of the bounding box, in the room."""
        signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), np.float32).reshape(3, 8)
        half = np.array(self.shape.extent(self.size), np.float32)[:, None]
        return turn(self.axes.T, signs * half) + self.centre[:, None]

    def local(self, points: Float32[np.ndarray, "3 n"]) -> Float32[np.ndarray, "3 n"]:
        """Points of the room in the solid's own frame."""
        return turn(self.axes, points - self.centre[:, None])

    def meet(
        self, origins: Float32[np.ndarray, "3 #n"], directions: Float32[np.ndarray, "3 n"]
    ) -> Float32[np.ndarray, " n"]:
        """Distance to the surface, as a multiple of each direction; inf where the ray misses."""
        return self.shape.meet(self.local(origins), turn(self.axes, directions), self.size)


KINDS: tuple[Kind, ...] = get_args(Kind)
SOLIDS = (3, 8)  # the least and the most

_NUM_PLACES, _PLACES_A_SOLID = 60, 7  # places to try: the greater of all in all, and for each solid
_CAMERA_CLEARANCE = 0.9  # metres between the camera and the nearest solid


@dataclass(frozen=True)
class Light:
    """A small round lamp, and the ambient light.

    Attributes:
        position: In the room, in metres.
        radius: In metres; a larger lamp has softer shadows.
        colour: Linear RGB, about 1.
        ambient: Linear RGB of the light from everywhere, relative to the lamp's at 2 metres.
    """

    position: Float32[np.ndarray, " 3"]
    radius: float
    colour: Colour
    ambient: Colour


@dataclass(frozen=True)
class Stage:
    """Everything in a scene.

    Attributes:
        room: Width and depth in metres; x and y go from 0, the floor is z = 0, walls are as high
            as one can see.
        skirting: Height of a board of `trim` along the foot of the walls; 0 for none.
    """

    room: tuple[float, float]
    floor: Texture
    walls: Texture
    skirting: float
    trim: Colour
    solids: tuple[Solid, ...]
    light: Light
    camera: Camera


def draw_stage(rng: np.random.Generator, solids: tuple[int, int] = SOLIDS) -> Stage:
    """Draws a random scene; `solids` is the least and the most, if there is room."""
    room = (float(rng.uniform(4.5, 7.5)), float(rng.uniform(4.5, 7.5)))
    palette = draw_palette(rng)
    camera = _draw_camera(rng, room)
    floor, walls = (draw_texture(rng, palette, room=True) for _ in range(2))
    return Stage(
        room=room,
        floor=floor,
        walls=walls,
        skirting=float(rng.uniform(0.06, 0.14)) if rng.random() < 0.6 else 0.0,
        trim=palette[rng.integers(len(palette))],
        solids=_draw_solids(rng, room, camera, palette, solids),
        light=_draw_light(rng, room, camera),
        camera=camera,
    )


def _draw_camera(rng: np.random.Generator, room: tuple[float, float]) -> Camera:
    """Somewhere along the walls, looking across the room and down."""
    middle = np.array([room[0] / 2, room[1] / 2, 0])
    target = middle + rng.uniform(-0.5, 0.5, 3) * [1, 1, 0] + [0, 0, rng.uniform(0.1, 0.4)]
    around, distance = rng.uniform(0, 2 * np.pi), rng.uniform(2.6, 3.6)
    position = middle + distance * np.array([np.cos(around), np.sin(around), 0])
    position[2] = rng.uniform(0.9, 2.3)
    position[:2] = np.clip(position[:2], 0.25, np.array(room) - 0.25)
    return look_at(position, target, float(np.radians(rng.uniform(45, 65))))


def _draw_light(rng: np.random.Generator, room: tuple[float, float], camera: Camera) -> Light:
    """High up, and to one side of the camera, so that shadows are visible."""
    side = rng.choice([-1, 1]) * rng.uniform(0.6, 2.0)
    place = np.array([room[0] / 2, room[1] / 2, rng.uniform(2.3, 3.6)])
    place = place + side * camera.axes[0] + rng.uniform(-1.2, 0.8) * camera.axes[2] * [1, 1, 0]
    place[:2] = np.clip(place[:2], 0.3, np.array(room) - 0.3)
    warm = rng.uniform(-0.12, 0.12)
    strength = rng.uniform(0.16, 0.34)
    ambient = (strength * (1 - warm), strength, strength * (1 + warm))
    return Light(
        place.astype(np.float32), float(rng.uniform(0.05, 0.25)), (1 + warm, 1.0, 1 - warm), ambient
    )


def _draw_solids(
    rng: np.random.Generator,
    room: tuple[float, float],
    camera: Camera,
    palette: list[Colour],
    num: tuple[int, int],
) -> tuple[Solid, ...]:
    """Puts solids one by one where there is still room for them, within the picture."""
    wanted = int(rng.integers(num[0], num[1] + 1))
    solids: list[Solid] = []
    feet: list[tuple[float, float, float]] = []  # x, y, radius of what stands there
    for _ in range(max(_NUM_PLACES, _PLACES_A_SOLID * wanted)):
        if len(solids) == wanted:
            break
        kind = KINDS[rng.integers(len(KINDS))]
        size, axes = _draw_body(rng, kind)
        texture = draw_texture(rng, palette, room=False)
        solid = Solid(kind, size, np.zeros(3, np.float32), axes, texture)
        half = np.abs(solid.corners).max(1)
        foot = float(np.hypot(half[0], half[1])) if kind == "box" else float(half[:2].max())
        place = rng.uniform([foot, foot], np.array(room) - foot)
        height = size[0] if kind == "sphere" else half[2]
        centre = np.array([*place, height], np.float32)
        if _has_space(place, foot, feet) and _is_in_sight(camera, centre, foot):
            gloss = float(rng.uniform(0.1, 0.7)) if rng.random() < 0.5 else 0.0
            solids.append(replace(solid, centre=centre, gloss=gloss))
            feet.append((float(place[0]), float(place[1]), foot))
    return tuple(solids)


def _has_space(place: np.ndarray, foot: float, feet: list[tuple[float, float, float]]) -> bool:
    return all(np.hypot(place[0] - x, place[1] - y) > 0.92 * (foot + r) for x, y, r in feet)


def _is_in_sight(camera: Camera, centre: np.ndarray, foot: float) -> bool:
    column, row, depth = camera.project(centre[:, None])[:, 0]
    near = float(np.linalg.norm(camera.position - centre)) - foot
    return bool(abs(column) < 0.88 and abs(row) < 0.88 and depth > 0 and near > _CAMERA_CLEARANCE)


def _draw_body(rng: np.random.Generator, kind: Kind) -> tuple[Size, Float32[np.ndarray, "3 3"]]:
    """The size of a solid, and how it lies on the floor: upright, or on its side."""
    a, b, c = rng.uniform(0.16, 0.46, 3)
    yaw = rng.uniform(0, 2 * np.pi)
    side = np.array([np.cos(yaw), np.sin(yaw), 0])
    across, up = np.array([-side[1], side[0], 0]), np.array([0.0, 0, 1])
    upright, lying = np.stack([side, across, up]), np.stack([across, up, side])
    size = {
        "box": (a, b, 1.25 * c),
        "sphere": (a, a, a),
        "cylinder": (0.8 * a, 0.8 * a, 1.3 * b),
        "cone": (0.95 * a, 0.95 * a, max(1.3 * b, 0.8 * a)),
        "torus": (0.22 + 0.55 * a, 0.22 + 0.55 * a, 0.06 + 0.3 * (b - 0.16)),
    }[kind]
    axes = upright
    if kind == "sphere":
        axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    elif kind in ("cylinder", "torus") and rng.random() < 0.4:
        axes = lying
    return (float(size[0]), float(size[1]), float(size[2])), axes.astype(np.float32)
