"""The masks of photos: where they come from, how they are stored, how good they are.

Importing this room loads neither torch nor numba, so that workers stay light.
"""

from detcon.masks.masks import MaskGenerator, Masks
from detcon.masks.sources import (
    MCG,
    Clusters,
    Displaced,
    Felzenszwalb,
    FromAnnotations,
    FromCallable,
    Grid,
    MCGFull,
    SegmentAnything,
    Slic,
    WholeImage,
)

__all__ = [
    "MCG",
    "Clusters",
    "Displaced",
    "Felzenszwalb",
    "FromAnnotations",
    "FromCallable",
    "Grid",
    "MCGFull",
    "MaskGenerator",
    "Masks",
    "SegmentAnything",
    "Slic",
    "WholeImage",
]
