"""SLIC superpixels: small compact segments that follow edges."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import UInt8

from detcon.masks.masks import Masks
from detcon.photos import shrink


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
        for name, least in {"num": 1, "sigma": 0, "max_side": 1}.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"SLIC's {name} must be at least {least}, got {value}")
        if not self.compactness > 0:
            raise ValueError(f"SLIC's compactness must be above 0, got {self.compactness}")
        for name in ("compactness", "sigma"):  # 10 and 10.0 are one recipe
            object.__setattr__(self, name, float(getattr(self, name)))

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
