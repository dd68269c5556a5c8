"""NYU-Depth v2 as HDF5 files, one a photo, as sparse-to-dense and FastDepth distribute it.

{train,val}/SCENE/00001.h5      `rgb` [3 y x] of 8 bits, `depth` [y x] in metres
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float32, UInt8

from detcon.formats.errors import AnnotationError
from detcon.formats.reading.depth import in_channels, in_metres
from detcon.photos import UnreadablePhoto


@dataclass(frozen=True, eq=False)
class DepthFrames:
    """HDF5 files with a photo and its depth each.

    Attributes:
        root: The folder that keys are relative to.
        keys: The files' names, sorted.
    """

    root: Path
    keys: Sequence[str] = field(repr=False)

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]:
        """Reads a photo. Raises `UnreadablePhoto`."""
        path = self.root / key
        try:
            with h5py.File(path) as file:
                photo = np.asarray(file["rgb"][()])  # pyright: ignore
            if photo.ndim != 3 or photo.dtype != np.uint8:
                raise ValueError(f"rgb is {photo.ndim}-dimensional {photo.dtype}, not 3 uint8")
        except Exception as error:
            raise UnreadablePhoto(f"cannot read the photo of {path}: {error}") from error
        return in_channels(photo.transpose(1, 2, 0), channels, str(path))

    def depth(self, key: str) -> Float32[np.ndarray, "y x"]:
        """Reads the depth of a photo in metres. Raises `AnnotationError`."""
        path = self.root / key
        try:
            with h5py.File(path) as file:
                depth = np.asarray(file["depth"][()])  # pyright: ignore
            if depth.ndim != 2 or depth.dtype.kind not in "fiu":
                raise ValueError(f"depth is {depth.ndim}-dimensional {depth.dtype}, not 2 numbers")
        except Exception as error:
            raise AnnotationError(f"cannot read the depth of {path}: {error}") from error
        return in_metres(depth, 1.0)
