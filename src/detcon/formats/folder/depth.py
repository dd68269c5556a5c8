"""Depth of the labelled folder: a 16-bit PNG for each photo.

{train,val}/images/a.jpg        {train,val}/depth/a.png     thousandths of a metre
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from detcon.formats.errors import AnnotationError, check_folders
from detcon.formats.format import PhotoFiles
from detcon.formats.reading.ids import read_ids
from detcon.formats.reading.label_files import of_photo, pngs_of
from detcon.photos import Photos, open_photos

_BIT_DEPTH = 24  # of a PNG's bytes


@dataclass(frozen=True, eq=False)
class DepthFiles(PhotoFiles):
    """Photos with a PNG of depth each, by key.

    A step of the PNG is `unit` metres; 0 means that nothing was measured.
    """

    photos: Photos
    files: Mapping[str, Path] = field(repr=False)
    unit: float

    def depth(self, key: str) -> Float32[np.ndarray, "y x"]:
        """Reads the depth of a photo in metres. Raises `AnnotationError`."""
        path = of_photo(self.photos, self.files, key)
        steps = read_ids(path, photo=key)
        with path.open("rb") as file:
            bits = file.read(_BIT_DEPTH + 1)[_BIT_DEPTH]
        if bits < 16:
            raise AnnotationError(
                f"the depth map {path} is a PNG of {bits} bits, which can't hold depth; save it "
                f"with 16 bits, in thousandths of a metre"
            )
        return in_metres(steps, self.unit)


def open_depth_folder(data: str | Path, split: str, *, unit: float = 0.001) -> DepthFiles:
    """Opens photos with depth as PNG files of 16 bits, of which a step is `unit` metres.

    Raises:
        AnnotationError: A folder or a file is missing.
        PhotosError: There are no photos.
    """
    images, depth = Path(data) / split / "images", Path(data) / split / "depth"
    needs = "photos with depth need train/images, train/depth, val/images and val/depth"
    check_folders(images, depth, hint=needs)
    photos = open_photos(images)
    return DepthFiles(photos, pngs_of(photos, depth, "depth"), unit)


def in_metres(depth: np.ndarray, unit: float) -> Float32[np.ndarray, "y x"]:
    """Depth of which a step is `unit` metres; NaN where it isn't above 0 and finite."""
    with np.errstate(over="ignore", invalid="ignore"):  # infinity is no depth either
        metres = depth.astype(np.float32) * np.float32(unit)
    return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(np.nan))
