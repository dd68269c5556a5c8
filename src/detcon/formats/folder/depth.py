"""Depth of the labelled folder: a 16-bit PNG for each photo.

{train,val}/images/a.jpg        {train,val}/depth/a.png     thousandths of a metre
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float32

from detcon.formats.errors import AnnotationError
from detcon.formats.format import PhotoFiles
from detcon.formats.reading.ids import read_ids
from detcon.photos import Photos, open_photos

_BIT_DEPTH = 24  # of a PNG's bytes


@dataclass(frozen=True, eq=False)
class DepthFiles(PhotoFiles):
    """Photos with a PNG of depth each.

    Attributes:
        photos: The photos; their keys.
        folder: Where the PNG files are, under the photos' names.
        unit: How many metres a step of the PNG is; 0 means that nothing was measured.
    """

    photos: Photos
    folder: Path
    unit: float

    def depth_file(self, key: str) -> Path:
        """Where the depth of a photo is."""
        return self.folder / PurePosixPath(key).with_suffix(".png")

    def depth(self, key: str) -> Float32[np.ndarray, "y x"]:
        """Reads the depth of a photo in metres. Raises `AnnotationError`."""
        path = self.depth_file(key)
        thousandths = read_ids(path, photo=key)
        with path.open("rb") as file:
            bits = file.read(_BIT_DEPTH + 1)[_BIT_DEPTH]
        if bits < 16:
            raise AnnotationError(
                f"the depth map {path} is a PNG of {bits} bits, which can't hold depth; save it "
                f"with 16 bits, in thousandths of a metre"
            )
        return in_metres(thousandths, self.unit)


def open_depth_folder(data: str | Path, split: str, *, unit: float = 0.001) -> DepthFiles:
    """Opens a folder of photos with depth as PNG files of 16 bits, as `detcon scenes` writes it.

    Args:
        data: Holds `train/images`, `train/depth` and so on.
        split: train or val.
        unit: How many metres a step is.

    Raises:
        AnnotationError: A folder or a file is missing.
        PhotosError: There are no photos.
    """
    folder = Path(data) / split
    for part in (folder / "images", folder / "depth"):
        if not part.is_dir():
            raise AnnotationError(
                f"there is no folder {part}; photos with depth need train/images, train/depth, "
                f"val/images and val/depth"
            )
    depths = DepthFiles(open_photos(folder / "images"), folder / "depth", unit)
    for key in depths.keys:
        if not depths.depth_file(key).is_file():
            raise AnnotationError(
                f"the photo {depths.photos.path(key)} has no depth: there is no file "
                f"{depths.depth_file(key)}"
            )
    return depths


def in_metres(depth: np.ndarray, unit: float) -> Float32[np.ndarray, "y x"]:
    """NaN where nothing was measured: where it isn't above 0 and finite.

    Args:
        depth: As it was read.
        unit: How many metres a step of it is.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # infinity is no depth either
        metres = depth.astype(np.float32) * np.float32(unit)
    return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(np.nan))
