"""Shapes as people drew them: boxes, polygons, ellipses and masks, from the numbers of a file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64


@dataclass(frozen=True, eq=False)
class Shape:
    """One object as it was drawn.

    Attributes:
        label: Its class.
        box: Left, top, right and bottom edge; right and bottom are exclusive.
        place: Where it stands, for messages: "line 3 of labels/a.txt".
        polygons: Its outline; empty where there is a box alone or a mask.
        mask: A picture of it, or of a part of the photo.
        corner: Column and row of the mask's upper left pixel.
        crowd: Whether it is neither learnt nor counted.
    """

    label: str
    box: Float64[np.ndarray, "4"]
    place: str
    polygons: tuple[Float64[np.ndarray, "p 2"], ...] = ()
    mask: Bool[np.ndarray, "y x"] | None = None
    corner: tuple[int, int] = (0, 0)
    crowd: bool = False


def numbers(values: Iterable[Any], what: str) -> Float64[np.ndarray, " n"]:
    """Finite numbers, from numbers or texts.

    Args:
        values: The numbers.
        what: Their names in the message.

    Raises:
        ValueError: One isn't a finite number; the end of a sentence.
    """
    try:
        texts = list(values)
        found = np.array([float(value) for value in texts])
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"has {values!r} as {what}, which are no numbers") from error
    if not np.isfinite(found).all() or any(isinstance(value, bool) for value in texts):
        raise ValueError(f"has {texts!r} as {what}, which aren't all finite numbers")
    return found


def box_of(values: Iterable[Any]) -> Float64[np.ndarray, "4"]:
    """Four numbers as a box: left, top, right, bottom; right may lie left of left.

    Raises:
        ValueError: One isn't a finite number; the end of a sentence.
    """
    return numbers(values, "left, top, right and bottom edge")


def outline_of(points: Iterable[Any]) -> Float64[np.ndarray, "p 2"]:
    """Pairs of numbers as a polygon.

    Raises:
        ValueError: They are no finite numbers, or fewer than three; the end of a sentence.
    """
    pairs = [numbers(point, "x and y") for point in points]
    if len(pairs) < 3:
        raise ValueError(f"has a polygon of {len(pairs)} points; it takes three and more")
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("has a point that isn't x and y")
    return np.array(pairs)


def outlined(
    label: str, polygons: Sequence[Float64[np.ndarray, "p 2"]], place: str, *, crowd: bool = False
) -> Shape:
    """An object of one or more polygons; its box surrounds them."""
    points = np.concatenate(polygons)
    box = np.concatenate([points.min(0), points.max(0)])
    return Shape(label, box, place, tuple(polygons), crowd=crowd)


def ellipse_of(
    centre: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0
) -> Float64[np.ndarray, "p 2"]:
    """An ellipse as a polygon, whose sides are at most a twentieth of a pixel off.

    Args:
        centre: x and y.
        radii: Along x and y, before it is turned.
        degrees: How far it is turned, clockwise in the picture.
    """
    steps = int(np.clip(np.pi / np.arccos(1 - 0.05 / max(*radii, 1.0)), 12, 720))
    angles = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    points = np.stack([radii[0] * np.cos(angles), radii[1] * np.sin(angles)], 1)
    return turned(points, degrees) + np.array(centre)


def turned(points: Float64[np.ndarray, "p 2"], degrees: float) -> Float64[np.ndarray, "p 2"]:
    """Points turned around the origin, clockwise in the picture, where y goes down."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return points @ np.array([[cos, sin], [-sin, cos]])
