"""Random colours and textures.

All surfaces of a picture share one small palette, the room's as well as the solids': colour alone
tells nothing apart, shape and texture do.
"""

import colorsys

import numpy as np

from detcon.scenes.textures import PATTERN_NAMES, TURNS, Colour, PatternName, Texture

ROOM_PATTERNS: tuple[PatternName, ...] = ("checker", "bricks", "planks", "tiles", "marble", "noise")
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
    """A texture of two colours that differ well in lightness.

    Args:
        rng: The source of randomness.
        palette: From dark to light.
        room: For floor and walls, which have larger patterns; else for a solid.
    """
    patterns = ROOM_PATTERNS if room else PATTERN_NAMES
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
    """Takes that share of the colour towards grey of the same brightness."""
    grey = 0.21 * colour[0] + 0.72 * colour[1] + 0.07 * colour[2]
    red, green, blue = ((1 - share) * one + share * grey for one in colour)
    return red, green, blue
