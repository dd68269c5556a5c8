"""NYU-Depth v2 in the three ways in which it is passed on; and any photos with depth beside them.

    nyu_depth_v2_labeled.mat, splits.mat            1,449 photos, 795 of them to train on
    {train,val}/SCENE/00001.h5                      `rgb` [3 y x] and `depth` [y x] in metres
    {train,val}/images/a.jpg  {train,val}/depth/a.png       16 bits, thousandths of a metre

Silberman et al., ECCV 2012; the second is that of sparse-to-dense and FastDepth.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import cv2
import h5py
import numpy as np
from jaxtyping import Float32, UInt8
from scipy.io import loadmat

from detcon.annotations.errors import AnnotationError
from detcon.annotations.label_maps import read_ids
from detcon.annotations.sizes import check_size
from detcon.photos import Photos, UnreadablePhoto, nearest_key, open_photos

LABELED, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"
PARTS = {"train": "trainNdxs", "val": "testNdxs", "test": "testNdxs"}
_FROM = "it comes from cs.nyu.edu/~fergus/datasets (NYU-Depth v2)"


@dataclass(frozen=True)
class NyuMat:
    """Some photos of the labelled part, read one by one: the file is opened for each anew.

    A handle of HDF5 doesn't survive a fork, and opening takes a fraction of unpacking a photo.

    Attributes:
        path: The `.mat` file, which is HDF5; both arrays have their axes in MATLAB's order.
        keys: The photos' numbers, from 0001.
    """

    path: Path
    keys: tuple[str, ...] = field(repr=False)

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]:
        """Reads a photo.

        Raises:
            UnreadablePhoto: It is damaged, or has not so many channels.
        """
        try:
            with h5py.File(self.path) as file:
                photo = np.asarray(file["images"][self._place(key)])  # pyright: ignore
        except Exception as error:  # h5py raises whatever HDF5's callbacks come upon
            raise UnreadablePhoto(f"cannot read the photo {key} of {self.path}: {error}") from error
        return _in_channels(photo.transpose(2, 1, 0), channels, f"photo {key} of {self.path}")

    def depth(self, key: str) -> Float32[np.ndarray, "y x"]:
        """Reads the depth of a photo in metres.

        Raises:
            AnnotationError: It is damaged.
        """
        try:
            with h5py.File(self.path) as file:
                depth = np.asarray(file["depths"][self._place(key)])  # pyright: ignore
        except Exception as error:
            raise AnnotationError(
                f"cannot read the depth of the photo {key} of {self.path}: {error}"
            ) from error
        return _in_metres(depth.T, 1.0)

    def _place(self, key: str) -> int:
        if key not in self.keys:
            raise AnnotationError(f"there is no such photo{nearest_key(key, self.keys)}")
        return int(key) - 1


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
        """Reads a photo.

        Raises:
            UnreadablePhoto: The file is missing or damaged, or has not so many channels.
        """
        path = self.root / key
        try:
            with h5py.File(path) as file:
                photo = np.asarray(file["rgb"][()])  # pyright: ignore
            if photo.ndim != 3 or photo.dtype != np.uint8:
                raise ValueError(f"rgb is {photo.ndim}-dimensional {photo.dtype}, not 3 uint8")
        except Exception as error:
            raise UnreadablePhoto(f"cannot read the photo of {path}: {error}") from error
        return _in_channels(photo.transpose(1, 2, 0), channels, str(path))

    def depth(self, key: str) -> Float32[np.ndarray, "y x"]:
        """Reads the depth of a photo in metres.

        Raises:
            AnnotationError: The file is missing or damaged.
        """
        path = self.root / key
        try:
            with h5py.File(path) as file:
                depth = np.asarray(file["depth"][()])  # pyright: ignore
            if depth.ndim != 2 or depth.dtype.kind not in "fiu":
                raise ValueError(f"depth is {depth.ndim}-dimensional {depth.dtype}, not 2 numbers")
        except Exception as error:
            raise AnnotationError(f"cannot read the depth of {path}: {error}") from error
        return _in_metres(depth, 1.0)


@dataclass(frozen=True, eq=False)
class DepthFiles:
    """Photos with a PNG of depth each.

    Attributes:
        photos: The photos; their keys.
        folder: Where the PNG files are, under the photos' names.
        unit: How many metres a step of the PNG is; 0 means that nothing was measured.
    """

    photos: Photos
    folder: Path
    unit: float

    @property
    def keys(self) -> Sequence[str]:
        """The photos' names, sorted."""
        return self.photos.keys

    def photo(self, key: str, channels: int = 3) -> UInt8[np.ndarray, "y x c"]:
        """Decodes a photo.

        Raises:
            UnreadablePhoto: It is missing or damaged.
        """
        return replace(self.photos, channels=channels).read(key)

    def depth_file(self, key: str) -> Path:
        """Where the depth of a photo is."""
        return self.folder / PurePosixPath(key).with_suffix(".png")

    def depth(self, key: str) -> Float32[np.ndarray, "y x"]:
        """Reads the depth of a photo in metres.

        Raises:
            AnnotationError: The file is missing or damaged, or has more than one channel.
        """
        return _in_metres(read_ids(self.depth_file(key), photo=key), self.unit)

    def pair(
        self, key: str, channels: int = 3
    ) -> tuple[UInt8[np.ndarray, "y x c"], Float32[np.ndarray, "y x"]]:
        """A photo and its depth, which must have its size.

        Raises:
            UnreadablePhoto: The photo is missing or damaged.
            AnnotationError: The depth is, or doesn't fit the photo.
        """
        photo, depth = self.photo(key, channels), self.depth(key)
        path = str(self.photos.path(key))
        check_size(str(self.depth_file(key)), depth.shape, path, photo.shape[:2])
        return photo, depth


def open_nyu(
    data: str | Path, split: str, *, unit: float = 0.001
) -> NyuMat | DepthFrames | DepthFiles:
    """Opens NYU-Depth v2, in whichever way it is there.

    Args:
        data: The folder; or the labelled `.mat`, with `splits.mat` beside it.
        split: train or val; of the labelled part val is what its authors call test.
        unit: How many metres a step of a depth PNG is.

    Raises:
        AnnotationError: A part is missing or damaged.
        PhotosError: There are no photos.
    """
    root = Path(data)
    mat = root if root.suffix == ".mat" else root / LABELED
    if mat.is_file():
        return _open_mat(mat, split)
    folder = root / split
    if (folder / "images").is_dir():
        return open_depth_folder(root, split, unit=unit)
    keys = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.h5"))
    if not keys:
        raise AnnotationError(
            f"there is no NYU-Depth v2 in {root}: looked for {LABELED}, {split}/**/*.h5 and "
            f"{split}/images; {_FROM}"
        )
    return DepthFrames(folder, keys)


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


def _open_mat(path: Path, split: str) -> NyuMat:
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
            f"there is no {path}, which says which photos are for training; {_FROM}"
        )
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                values = np.asarray(file[name][()])  # pyright: ignore
        else:
            with warnings.catch_warnings(action="ignore"):  # SciPy's, of odd variables
                values = np.asarray(loadmat(path)[name])
        numbers = sorted({int(value) for value in values.ravel()})
        if not numbers:
            raise ValueError("an empty list")
    except Exception as error:  # neither library has one exception for a damaged file
        raise AnnotationError(
            f"{path} holds no list '{name}' that can be read; copy it again, {_FROM}"
        ) from error
    return numbers


def _in_channels(
    photo: UInt8[np.ndarray, "y x c"], channels: int, name: str
) -> UInt8[np.ndarray, "y x d"]:
    if photo.shape[2] == 3 and channels == 1:
        return cv2.cvtColor(np.ascontiguousarray(photo), cv2.COLOR_RGB2GRAY)[..., None]
    if photo.shape[2] != channels:
        raise UnreadablePhoto(
            f"cannot read {name}: it has {photo.shape[2]} channels, but {channels} were asked for"
        )
    return np.ascontiguousarray(photo)


def _in_metres(depth: np.ndarray, unit: float) -> Float32[np.ndarray, "y x"]:
    """NaN where nothing was measured: where it isn't above 0 and finite."""
    metres = depth.astype(np.float32) * np.float32(unit)
    return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(np.nan))
