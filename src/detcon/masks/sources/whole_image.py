"""One mask that covers the whole photo."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import UInt8

from detcon.masks.masks import Masks


@dataclass(frozen=True)
class WholeImage:
    """One region, the photo itself: turns DetCon-S into SimCLR and DetCon-B towards BYOL."""

    kind: Literal["whole_image"] = "whole_image"
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __call__(self, image: UInt8[np.ndarray, "y x c"], key: str = "") -> Masks:
        return Masks.from_labels(np.zeros(image.shape[:2], np.int16))
