"""Reading contour maps from files named after the photos, for instance of a trained network."""

from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from jaxtyping import Float32

from detcon.files import copy_again
from detcon.masks.masks import by
from detcon.masks.sources.mcg.contours import smooth
from detcon.photos import UnreadablePhoto, read_stored, stays_inside

_FINE_SIGMA, _COARSE_SIGMA = 0.8, 2.0  # in pixels of the map that masks are made at


class ContourMapError(ValueError):
    """A contour map that is missing or can't be used."""


def read_contours(
    folder: str, key: str, photo: tuple[int, int], size: tuple[int, int]
) -> Float32[np.ndarray, "y x"]:
    """Reads `folder/a/b.png` or `folder/a/b.npy` for the photo `a/b.jpg`.

    A map has one number a pixel, 0 for no contour, and any resolution; only the relative
    strength of contours matters. A PNG has 8 or 16 bits. `photo` is the photo's height and width,
    `size` those of the map that is returned.
    """
    path = _find(folder, key)
    found = _load(path)
    if found.ndim != 2 or found.dtype.kind not in "buif":
        raise ContourMapError(
            f"the contour map {path} is an array of {by(found.shape)} numbers of the kind "
            f"{found.dtype}, but one real number a pixel is needed; save it as a grey picture"
        )
    if found.size == 0 or not np.isfinite(found).all() or found.min() < 0:
        raise ContourMapError(
            f"the contour map {path} has no pixels, or values that are negative, infinite or "
            f"NaN; contours are 0 or more"
        )
    if abs(found.shape[0] * photo[1] - found.shape[1] * photo[0]) > sum(photo):  # half a pixel
        raise ContourMapError(
            f"the contour map {path} has {by(found.shape)} pixels, but its photo {key} has "
            f"{by(photo)}; any size will do, but the aspect ratio must match"
        )
    how = cv2.INTER_AREA if found.shape[0] > size[0] else cv2.INTER_LINEAR
    values = found.astype(np.float32)
    if found.dtype.kind in "ui":
        values /= np.float32(np.iinfo(found.dtype).max)
    return cv2.resize(values, size[::-1], interpolation=how)


def to_scales(contours: Float32[np.ndarray, "y x"]) -> Float32[np.ndarray, "2 y x"]:
    """The fine and the coarse map for the hierarchies, from one map."""
    return np.stack([smooth(contours, sigma) for sigma in (_FINE_SIGMA, _COARSE_SIGMA)])


def _find(folder: str, key: str) -> Path:
    if not key:
        raise ContourMapError(
            f"generator.contours={folder} has maps named after the photos; give the photo's name "
            f"as key"
        )
    if not stays_inside(key):
        raise ContourMapError(
            f"generator.contours={folder} has maps under the photos' paths below one folder, and "
            f"{key} leads out of it; list the photos with paths below the list's own folder"
        )
    name = Path(folder, PurePosixPath(key))
    paths = [name.with_suffix(suffix) for suffix in (".png", ".npy")]
    for path in paths:
        if path.is_file():
            return path
    raise ContourMapError(
        f"there is no contour map of the photo {key}: looked for {paths[0]} and {paths[1]}"
    )


def _load(path: Path) -> np.ndarray:
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        return read_stored(path, f"the contour map {path}", "make it again")
    except UnreadablePhoto as error:
        raise ContourMapError(str(error)) from error
    except (OSError, ValueError, EOFError) as error:
        raise ContourMapError(
            f"cannot read the contour map {path}: it is damaged, or no NumPy array; "
            f"{copy_again(path, otherwise='make it again')}"
        ) from error
