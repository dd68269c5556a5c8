"""Opening annotated photos by the name of their format."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from detcon.annotations.errors import AnnotationError
from detcon.annotations.label_maps import read_ids
from detcon.annotations.splits import DepthMaps
from detcon.photos import Photos, decode, open_photos


@dataclass(frozen=True)
class FolderDepth:
    """`images/` and, of the same names, `depth/`: 16-bit PNG, thousandths of a metre, 0 = none."""

    folder: Path
    photos: Photos

    @property
    def keys(self):
        return self.photos.keys

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]:
        return decode(self.photos.data(key), str(self.photos.path(key)), channels=channels)

    def depth(self, key: str) -> Float32[np.ndarray, "y x"]:
        path = self.folder / "depth" / PurePosixPath(key).with_suffix(".png")
        ids = read_ids(path, key)
        with Image.open(path) as picture:
            mode = picture.mode
        if mode in ("1", "L", "P"):
            raise AnnotationError(
                f"the depth map {path} is a PNG of the kind {mode}, which can't hold depth beyond "
                f"0.255 m; save it with 16 bits, in thousandths of a metre"
            )
        return np.where(ids == 0, np.nan, ids / 1000).astype(np.float32)


def open_depth(root: str | Path, format: str, split: str) -> DepthMaps:
    """Opens photos with depth maps: `split` is train or val."""
    folder = Path(root) / split
    if format != "folder":
        raise AnnotationError(f"format={format} is no format of depth maps; known: folder")
    for part in (folder / "images", folder / "depth"):
        if not part.is_dir():
            raise AnnotationError(f"there is no folder {part}; depth data needs images and depth")
    return FolderDepth(folder, open_photos(folder / "images"))
