"""NYU-Depth v2 in its three forms.

    nyu_depth_v2_labeled.mat    images [n 3 x y] of 8 bits, depths [n x y] in metres; HDF5
    splits.mat                  trainNdxs, testNdxs, from 1

    {train,val}/SCENE/00001.h5  `rgb` [3 y x] of 8 bits, `depth` [y x] in metres, or in steps of
                                `unit` metres

    {train,val}/images/a.jpg    {train,val}/depth/a.png: see `detcon.formats.folder.depth`

The labelled part is one MATLAB file of 1,449 photos, 795 of them to train on; sparse-to-dense and
FastDepth distribute HDF5 files of one photo each. Silberman et al., "Indoor segmentation and
support inference from RGBD images", ECCV 2012.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import h5py
import numpy as np
from jaxtyping import Float32, UInt8

from detcon.files import copy_again
from detcon.formats.errors import AnnotationError
from detcon.formats.folder.depth import DepthFiles, in_metres, open_depth_folder
from detcon.formats.reading.mat_file import open_mat
from detcon.photos import UnreadablePhoto, nearest_key

LABELED, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"
PARTS = {"train": "trainNdxs", "val": "testNdxs", "test": "testNdxs"}
_NYU_FROM = "it comes from cs.nyu.edu/~fergus/datasets (NYU-Depth v2)"


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
        name = f"the photo {key} of {self.path}"
        try:
            photo = _read(self.path, "images", self._place(key))
        except Exception as error:  # h5py passes on any error of HDF5's callbacks
            raise UnreadablePhoto(
                f"cannot read {name}: {error}; {copy_again(self.path)}"
            ) from error
        return _in_channels(photo.transpose(2, 1, 0), channels, name)

    def depth(self, key: str) -> Float32[np.ndarray, "y x"]:
        """Reads the depth of a photo in metres. Raises `AnnotationError`."""
        try:
            return in_metres(_read(self.path, "depths", self._place(key)).T, 1.0)
        except Exception as error:
            raise AnnotationError(
                f"cannot read the depth of the photo {key} of {self.path}: {error}; "
                f"{copy_again(self.path)}"
            ) from error

    def _place(self, key: str) -> int:
        if key not in self.keys:
            raise AnnotationError(f"there is no such photo{nearest_key(key, self.keys)}")
        return int(key) - 1


@dataclass(frozen=True, eq=False)
class DepthFrames:
    """HDF5 files with a photo and its depth each; their names in `root` are the keys.

    A step of the depth is `unit` metres; None: it is in metres, and whole numbers are refused.
    """

    root: Path
    keys: Sequence[str] = field(repr=False)
    unit: float | None = None

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]:
        """Reads a photo. Raises `UnreadablePhoto`."""
        path = self.root / key
        try:
            photo = _read(path, "rgb")
            if photo.ndim != 3 or photo.dtype != np.uint8:
                raise ValueError(f"rgb is {photo.ndim}-dimensional {photo.dtype}")
        except Exception as error:
            remedy = _remedy(error, path, "rgb as [3 y x] of 8 bits")
            raise UnreadablePhoto(f"cannot read the photo of {path}: {error}; {remedy}") from error
        return _in_channels(photo.transpose(1, 2, 0), channels, str(path))

    def depth(self, key: str) -> Float32[np.ndarray, "y x"]:
        """Reads the depth of a photo in metres. Raises `AnnotationError`."""
        path = self.root / key
        try:
            depth = _read(path, "depth")
            if depth.ndim != 2 or depth.dtype.kind not in "fiu":
                raise ValueError(f"depth is {depth.ndim}-dimensional {depth.dtype}")
        except Exception as error:
            remedy = _remedy(error, path, "depth as [y x] of numbers")
            raise AnnotationError(f"cannot read the depth of {path}: {error}; {remedy}") from error
        if depth.dtype.kind != "f" and self.unit is None:
            raise AnnotationError(
                f"cannot read the depth of {path}: depth is of whole numbers ({depth.dtype}); give "
                f"the metres of a step by task.unit=, such as 0.001"
            )
        return in_metres(depth, 1.0 if self.unit is None else self.unit)


def open_nyu(
    data: str | Path, split: str, *, unit: float | None = None
) -> NyuMat | DepthFrames | DepthFiles:
    """Opens NYU-Depth v2, in any of its forms; val of the labelled part is its authors' test.

    `data` is the folder, or the labelled `.mat`. A step of a depth PNG is `unit` metres (None:
    0.001), and so is one of the depth of HDF5 files of one photo (None: they are in metres).

    Raises:
        AnnotationError: A part is missing or damaged, or the labelled part, which is in metres, was
            given a unit.
        PhotosError: There are no photos.
    """
    root = Path(data)
    mat = root if root.suffix == ".mat" else root / LABELED
    if mat.is_file():
        if unit is not None:
            raise AnnotationError(
                f"{mat} has its depths in metres, but task.unit={unit:g} was given; leave it out"
            )
        return _open_mat(mat, split)
    folder = root / split
    if (folder / "images").is_dir():
        return open_depth_folder(root, split, **({} if unit is None else {"unit": unit}))
    keys = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.h5"))
    if not keys:
        raise AnnotationError(
            f"there is no NYU-Depth v2 in {root}: looked for {LABELED}, {split}/**/*.h5 and "
            f"{split}/images; {_NYU_FROM}"
        )
    return DepthFrames(folder, keys, unit)


def _open_mat(path: Path, split: str) -> NyuMat:
    if split not in PARTS:
        raise AnnotationError(f"{path} has no part '{split}'; give train or val")
    lists = path.with_name(SPLITS)
    numbers = _read_split(lists, PARTS[split])
    try:
        with h5py.File(path) as file:
            images, depths = (file[name].shape for name in ("images", "depths"))  # pyright: ignore
    except Exception as error:
        raise AnnotationError(
            f"{path} is no HDF5 file with 'images' and 'depths', as NYU's is; {copy_again(path)}"
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
            f"there is no {path}, which says which photos are for training; {_NYU_FROM}"
        )
    try:
        values = _read(path, name) if h5py.is_hdf5(path) else np.asarray(open_mat(path)[name])
        numbers = sorted({int(value) for value in values.ravel()})
        if not numbers:
            raise ValueError("an empty list")
    except AnnotationError:
        raise
    except Exception as error:  # HDF5's library has no one exception for a damaged file
        raise AnnotationError(
            f"{path} holds no list '{name}' that can be read; {copy_again(path)}, {_NYU_FROM}"
        ) from error
    return numbers


def _read(path: Path, name: str, place: int | tuple[()] = ()) -> np.ndarray:
    """An array of an HDF5 file, or a part of it. Raises `ValueError` if there is none so called."""
    with h5py.File(path) as file:
        if name not in file:
            raise ValueError(f"it has no '{name}', but {', '.join(file) or 'nothing'}")
        return np.asarray(file[name][place])  # pyright: ignore


def _remedy(error: Exception, path: Path, form: str) -> str:
    """What to do with a file of one photo: write it as it should be, or copy a damaged one."""
    return f"write {form}" if isinstance(error, ValueError) else copy_again(path)


def _in_channels(
    photo: UInt8[np.ndarray, "y x c"], channels: int, name: str
) -> UInt8[np.ndarray, "y x d"]:
    """RGB as it is, or grey where one channel is asked for; raises `UnreadablePhoto` for others."""
    if photo.shape[2] == 3 and channels == 1:
        return cv2.cvtColor(np.ascontiguousarray(photo), cv2.COLOR_RGB2GRAY)[..., None]
    if photo.shape[2] != channels:
        raise UnreadablePhoto(
            f"cannot read {name}: it has {photo.shape[2]} channels, but {channels} were asked for"
        )
    return np.ascontiguousarray(photo)
