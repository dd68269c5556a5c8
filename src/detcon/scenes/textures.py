"""Procedural textures: patterns that repeat every unit, between two colours, with some grain.

A pattern maps (u, v) to the share of the second colour. It repeats after one unit, or after two
(checker, bricks), and noise after eight. Axes: n points.

All surfaces of a picture share one small palette: colour alone tells nothing apart, shape and
texture do.
"""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float32

Values = Float32[np.ndarray, " n"]
Colour = tuple[float, float, float]  # linear light, not sRGB

# Whole numbers, so that a pattern that closes around a round solid still closes when turned.
TURNS = ((1, 0, 0, 1), (0, 1, 1, 0), (1, 1, -1, 1), (1, -1, 1, 1))

# How many details side by side fill a unit.
_FINENESS = {"noise": 2, "marble": 5, "planks": 3, "bricks": 2}

_NOISE_SIDE, _NOISE_PERIOD = 256, 8


@dataclass(frozen=True)
class Texture:
    """A pattern of two colours on a surface.

    Attributes:
        pattern: A name in `PATTERNS`.
        colours: In linear light.
        period: The length of a unit of the pattern on the surface, in metres.
        share: About how much of the surface is of the first colour, in (0, 1).
        turn: One of `TURNS`, how the pattern lies on the surface.
        grain: The strength of the fine noise over it.
    """

    pattern: str
    colours: tuple[Colour, Colour]
    period: float
    share: float = 0.5
    turn: tuple[int, int, int, int] = TURNS[0]
    grain: float = 0.2


def paint(texture: Texture, u: Values, v: Values, blur: Values) -> Float32[np.ndarray, "3 n"]:
    """The colour of a texture, in linear RGB, at points (u, v) of a surface.

    `blur` is how many units a sample spans there. A pattern that is too fine to be seen gives its
    average, instead of moiré.
    """
    a, b, c, d = texture.turn
    u, v = a * u + b * v, c * u + d * v
    value = PATTERNS[texture.pattern](u, v, texture.share)
    mean = np.float32(1 - texture.share)
    value = mean + (value - mean) * _sharpness(blur * _FINENESS.get(texture.pattern, 1))
    grain = np.float32(2 * texture.grain) * _sharpness(blur * 6)
    bright = 1 + grain * (_noise(3 * u, 3 * v) - np.float32(0.5))
    first, second = np.array(texture.colours, np.float32)[..., None]
    return (first + (second - first) * value) * bright


def _sharpness(blur: Values) -> Values:
    """The contrast of a pattern where a sample spans several of its periods."""
    return np.clip(np.float32(1.6) - 2 * blur, 0, 1)


@cache
def _noise_tile() -> Float32[np.ndarray, " n"]:
    """Value noise of four octaves that repeats without a seam; uniform in [0, 1]."""
    rng = np.random.default_rng(20211011)
    tile = np.zeros((_NOISE_SIDE, _NOISE_SIDE), np.float32)
    for octave in range(4):
        cells = 2 * _NOISE_PERIOD * 2**octave
        values = rng.random((cells, cells)).astype(np.float32)
        wrapped = np.pad(values, 2, mode="wrap")
        scale = _NOISE_SIDE // cells
        large = cv2.resize(wrapped, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        tile += large[2 * scale : -2 * scale, 2 * scale : -2 * scale] / 2**octave
    ranks = tile.ravel().argsort().argsort().astype(np.float32)
    return ranks / np.float32(ranks.size - 1)


def _noise(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    scale = np.float32(_NOISE_SIDE // _NOISE_PERIOD)
    column = np.floor(u * scale).astype(np.int32) & (_NOISE_SIDE - 1)
    row = np.floor(v * scale).astype(np.int32) & (_NOISE_SIDE - 1)
    return _noise_tile().take(row * _NOISE_SIDE + column)


def _tone(i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """A number in [0, 1] for each cell of a lattice; repeats after eight cells."""
    step = _NOISE_SIDE // _NOISE_PERIOD
    column, row = (i.astype(np.int32) & 7) * step, (j.astype(np.int32) & 7) * step
    return _noise_tile().take((row + 17) * _NOISE_SIDE + column + 29)


def _frac(u: np.ndarray) -> np.ndarray:
    return u - np.floor(u)


def _checker(u: np.ndarray, v: np.ndarray, share: float) -> np.ndarray:
    return ((np.floor(u) + np.floor(v)).astype(np.int32) & 1).astype(np.float32)


def _stripes(u: np.ndarray, v: np.ndarray, share: float) -> np.ndarray:
    return (_frac(u) > share).astype(np.float32)


def _bricks(u: np.ndarray, v: np.ndarray, share: float) -> np.ndarray:
    row = np.floor(2 * v)
    along = u + 0.5 * (row.astype(np.int32) & 1)
    mortar = (_frac(along) < 0.07) | (_frac(2 * v) < 0.14)
    return np.where(mortar, 1, 0.45 * _tone(np.floor(along), row)).astype(np.float32)


def _dots(u: np.ndarray, v: np.ndarray, share: float) -> np.ndarray:
    x, y = _frac(u) - 0.5, _frac(v) - 0.5
    return (x * x + y * y < (1 - share) * 0.25).astype(np.float32)


def _zigzag(u: np.ndarray, v: np.ndarray, share: float) -> np.ndarray:
    return (_frac(v + np.abs(_frac(u) - 0.5)) > share).astype(np.float32)


def _clouds(u: np.ndarray, v: np.ndarray, share: float) -> np.ndarray:
    return np.clip(3 * (_noise(u, v) - share) + 0.5, 0, 1)


def _marble(u: np.ndarray, v: np.ndarray, share: float) -> np.ndarray:
    wave = np.sin(np.float32(2 * np.pi) * (u + 1.4 * _noise(u, v)))
    return np.abs(wave) ** np.float32(0.5 + share)


def _tiles(u: np.ndarray, v: np.ndarray, share: float) -> np.ndarray:
    joint = (_frac(u) < 0.08) | (_frac(v) < 0.08)
    return np.where(joint, 1, 0.5 * _tone(np.floor(u), np.floor(v))).astype(np.float32)


def _triangles(u: np.ndarray, v: np.ndarray, share: float) -> np.ndarray:
    return (_frac(u) + _frac(v) > 2 * share).astype(np.float32)


def _planks(u: np.ndarray, v: np.ndarray, share: float) -> np.ndarray:
    row = np.floor(3 * v)
    along = 0.5 * u + 0.37 * (row.astype(np.int32) & 7)
    joint = (_frac(3 * v) < 0.06) | (_frac(along) < 0.015)
    grain = 0.55 * _tone(np.floor(along), row) + 0.35 * _noise(0.5 * u, 6 * v)
    return np.where(joint, 1, grain).astype(np.float32)


PATTERNS: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "checker": _checker,
    "stripes": _stripes,
    "bricks": _bricks,
    "dots": _dots,
    "zigzag": _zigzag,
    "noise": _clouds,
    "marble": _marble,
    "tiles": _tiles,
    "triangles": _triangles,
    "planks": _planks,
}
ROOM_PATTERNS = ("checker", "bricks", "planks", "tiles", "marble", "noise")
_NUM_COLOURS = 7


def draw_palette(rng: np.random.Generator) -> list[Colour]:
    """Colours from dark to light, of hues around three poles of the colour circle."""
    poles = rng.random(3)
    lightness = np.linspace(0.18, 0.95, _NUM_COLOURS) + rng.uniform(-0.06, 0.06, _NUM_COLOURS)
    colours = []
    for value in np.clip(lightness, 0.12, 1):
        hue = (rng.choice(poles) + rng.normal(0, 0.05)) % 1
        saturation = rng.beta(1.6, 1.8) * 0.9
        red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
        colours.append((red**2.2, green**2.2, blue**2.2))
    return colours


def draw_texture(rng: np.random.Generator, palette: list[Colour], *, room: bool) -> Texture:
    """A texture of two colours that differ well in lightness; the palette is from dark to light.

    Floor and walls of a `room` have larger patterns than solids.
    """
    patterns = ROOM_PATTERNS if room else tuple(PATTERNS)
    dark = int(rng.integers(0, len(palette) - 2))
    light = int(rng.integers(dark + 2, len(palette)))
    muted = float(rng.uniform(0, 0.8))
    pair = (_mute(palette[dark], muted), _mute(palette[light], muted))
    period = rng.uniform(0.35, 0.9) if room else rng.uniform(0.12, 0.3)
    return Texture(
        pattern=patterns[rng.integers(len(patterns))],
        colours=pair if rng.random() < 0.5 else (pair[1], pair[0]),
        period=float(period),
        share=float(rng.uniform(0.35, 0.65)),
        turn=TURNS[rng.integers(2 if room else len(TURNS))],
        grain=float(rng.uniform(0.08, 0.3)),
    )


def _mute(colour: Colour, share: float) -> Colour:
    """Moves a colour by a share of the way to grey of the same brightness."""
    grey = 0.21 * colour[0] + 0.72 * colour[1] + 0.07 * colour[2]
    red, green, blue = ((1 - share) * one + share * grey for one in colour)
    return red, green, blue
