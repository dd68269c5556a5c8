"""The labelled part of NYU-Depth v2: 1,449 photos in one file, 795 of them to train on.

    nyu_depth_v2_labeled.mat    images [n 3 x y] of 8 bits, depths [n x y] in metres; HDF5
    splits.mat                  trainNdxs, testNdxs, from 1

Silberman et al., "Indoor segmentation and support inference from RGBD images", ECCV 2012.
"""

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float32, UInt8

from detcon.formats.errors import AnnotationError
from detcon.formats.reading.depth import in_channels, in_metres
from detcon.formats.reading.mat_file import read_mat
from detcon.photos import UnreadablePhoto, nearest_key

LABELED, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"
PARTS = {"train": "trainNdxs", "val": "testNdxs", "test": "testNdxs"}
NYU_FROM = "it comes from cs.nyu.edu/~fergus/datasets (NYU-Depth v2)"


@dataclass(frozen=True)
class NyuMat:
    """Some photos of the labelled part, read one by one; each read opens the file.

    A handle of HDF5 doesn't survive a fork, and opening takes a fraction of unpacking a photo.

    Attributes:
        path: The `.mat` file, which is HDF5; both arrays have their axes in MATLAB's order.
        keys: The photos' numbers, from 0001.
    """

    path: Path
    keys: tuple[str, ...] = field(repr=False)

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]:
        """Reads a photo. Raises `UnreadablePhoto`."""
        try:
            with h5py.File(self.path) as file:
                photo = np.asarray(file["images"][self._place(key)])  # pyright: ignore
        except Exception as error:  # h5py passes on any error of HDF5's callbacks
            raise UnreadablePhoto(f"cannot read the photo {key} of {self.path}: {error}") from error
        return in_channels(photo.transpose(2, 1, 0), channels, f"photo {key} of {self.path}")

    def depth(self, key: str) -> Float32[np.ndarray, "y x"]:
        """Reads the depth of a photo in metres. Raises `AnnotationError`."""
        try:
            with h5py.File(self.path) as file:
                depth = np.asarray(file["depths"][self._place(key)])  # pyright: ignore
        except Exception as error:
            raise AnnotationError(
                f"cannot read the depth of the photo {key} of {self.path}: {error}"
            ) from error
        return in_metres(depth.T, 1.0)

    def _place(self, key: str) -> int:
        if key not in self.keys:
            raise AnnotationError(f"there is no such photo{nearest_key(key, self.keys)}")
        return int(key) - 1


def open_nyu_mat(path: Path, split: str) -> NyuMat:
    """Opens one part of the file.

    Args:
        path: The file; `splits.mat` lies in the same folder.
        split: train or val, which its authors call test.

    Raises:
        AnnotationError: Either file is missing or damaged, or they don't belong together.
    """
    lists = path.with_name(SPLITS)
    if split not in PARTS:
        raise AnnotationError(f"{path} has no part '{split}'; give train or val")
    numbers = _read_split(lists, PARTS[split])
    try:
        with h5py.File(path) as file:
            images, depths = (file[name].shape for name in ("images", "depths"))  # pyright: ignore
    except Exception as error:
        raise AnnotationError(
            f"{path} is no HDF5 file with 'images' and 'depths', as NYU's is; copy it again"
        ) from error
    if len(images) != 4 or images[1] != 3 or depths != (images[0], *images[2:]):
        raise AnnotationError(
            f"{path} has images of {images} and depths of {depths}, but they should be "
            f"[n 3 x y] and [n x y]"
        )
    if numbers[-1] > images[0] or numbers[0] < 1:
        raise AnnotationError(
            f"{lists} has photos from {numbers[0]} to {numbers[-1]}, but {path} those from 1 to "
            f"{images[0]}; the two don't belong together"
        )
    return NyuMat(path, tuple(f"{number:04d}" for number in numbers))


def _read_split(path: Path, name: str) -> list[int]:
    """The numbers of a list, sorted, from MATLAB's older format or from HDF5."""
    if not path.is_file():
        raise AnnotationError(
            f"there is no {path}, which says which photos are for training; {NYU_FROM}"
        )
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                values = np.asarray(file[name][()])  # pyright: ignore
        else:
            values = np.asarray(read_mat(path.read_bytes())[name])
        numbers = sorted({int(value) for value in values.ravel()})
        if not numbers:
            raise ValueError("an empty list")
    except Exception as error:  # HDF5's library has no one exception for a damaged file
        raise AnnotationError(
            f"{path} holds no list '{name}' that can be read; copy it again, {NYU_FROM}"
        ) from error
    return numbers
