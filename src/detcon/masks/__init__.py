"""Where masks come from, and where they are kept; numpy only, so that workers stay light."""

from detcon.masks.annotations import FromAnnotations
from detcon.masks.displaced import Displaced
from detcon.masks.felzenszwalb import Felzenszwalb
from detcon.masks.from_callable import FromCallable
from detcon.masks.grid import Grid
from detcon.masks.masks import MaskGenerator, Masks
from detcon.masks.mcg.generator import MCG, MCGFull
from detcon.masks.slic import Slic
from detcon.masks.whole_image import WholeImage

__all__ = [
    "MCG",
    "Displaced",
    "Felzenszwalb",
    "FromAnnotations",
    "FromCallable",
    "Grid",
    "MCGFull",
    "MaskGenerator",
    "Masks",
    "Slic",
    "WholeImage",
]
