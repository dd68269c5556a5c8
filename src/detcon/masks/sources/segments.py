"""Segments of similar colour: Felzenszwalb-Huttenlocher, the paper's default masks, and SLIC."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import UInt8

from detcon.masks.masks import Masks
from detcon.masks.sources.ranges import check_ranges
from detcon.photos import shrink


@dataclass(frozen=True)
class Felzenszwalb:
    """Graph-based segmentation (Felzenszwalb and Huttenlocher, IJCV 2004).

    The defaults are the official ones (`generate_fh_masks_for_imagenet.py`: scale and min_size
    1000, and scikit-image's sigma). They suit photos of some 500 x 375 pixels and give about
    eight segments; a featureless photo may come out as a single one. The segments are those of
    `skimage.segmentation.felzenszwalb`, with its numbers; unlike in the official code, ids above
    255 don't wrap.

    Args:
        scale: How strongly larger segments are preferred; larger values give larger segments.
        min_size: Segments of fewer pixels are merged into a neighbour.
        sigma: Standard deviation of the smoothing before segmentation, in pixels.
        max_side: Photos are first shrunk to this longest side, and the map stays that small:
            faster, and without loss for training. `scale`, `min_size` and `sigma` then count
            pixels of the shrunk photo.
    """

    scale: float = 1000.0
    min_size: int = 1000
    sigma: float = 0.8
    max_side: int | None = None
    kind: Literal["felzenszwalb"] = "felzenszwalb"
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges(self, scale=0, min_size=1, sigma=0, max_side=1)

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        from detcon.masks.sources.graph_segments import segment_photo  # compiles

        small = shrink(image, self.max_side)
        [labels] = segment_photo(small, [(self.scale, self.min_size)], sigma=self.sigma)
        return Masks.from_labels(labels, size=(image.shape[0], image.shape[1]))


@dataclass(frozen=True)
class Slic:
    """Clusters of pixels by colour and position (Achanta et al., PAMI 2012), by scikit-image.

    Superpixels are parts of objects rather than objects, all of about the same size: like a fine
    grid whose lines follow edges. RGB is compared in CIELAB, other channels as they are.

    Args:
        num: The approximate number of segments.
        compactness: The weight of distance against difference of colour; large values give
            squares.
        sigma: Standard deviation of the smoothing before segmentation, in pixels.
        max_side: Photos are first shrunk to this longest side, and the map stays that small.
            None: full size, slower in proportion to the pixels.
    """

    num: int = 100
    compactness: float = 10.0
    sigma: float = 0.0
    max_side: int | None = 256
    kind: Literal["slic"] = "slic"
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges(self, num=1, sigma=0, max_side=1)
        if not self.compactness > 0:
            raise ValueError(f"compactness of slic must be above 0, got {self.compactness}")

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        from skimage.segmentation import slic  # half a second

        labels = slic(
            shrink(image, self.max_side),
            n_segments=self.num,
            compactness=self.compactness,
            sigma=self.sigma,
            start_label=0,
        )
        return Masks.from_labels(labels, size=(image.shape[0], image.shape[1]))
