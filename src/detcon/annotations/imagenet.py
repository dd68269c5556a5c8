"""ImageNet (ILSVRC 2012) as sorted folders: one a class, by its WordNet id.

DIR/train/n01440764/n01440764_10026.JPEG        DIR/val/n01440764/ILSVRC2012_val_00000293.JPEG
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from detcon.annotations.errors import AnnotationError
from detcon.photos import EXTENSIONS, Photos, nearest_key, open_photos


@dataclass(frozen=True, eq=False)
class ClassFolders:
    """Photos in a folder for each class.

    Attributes:
        photos: The photos; keys begin with the folder of their class.
        names: Of the folders, sorted, which are the classes.
    """

    photos: Photos
    names: tuple[str, ...]

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

    def label(self, key: str) -> int:
        """The class of a photo: the place of its folder.

        Raises:
            AnnotationError: There is no such class.
        """
        name = key.partition("/")[0]
        place = bisect_left(self.names, name)
        if self.names[place : place + 1] != (name,):
            raise AnnotationError(
                f"the photo {key} is in no class of {self.photos.source}"
                f"{nearest_key(key, self.photos.keys)}"
            )
        return place


def open_imagenet(data: str | Path, split: str, *, channels: int = 3) -> ClassFolders:
    """Opens a data set of a folder for each class.

    Args:
        data: Holds `train` and `val`; both must have the same classes.
        split: train or val.
        channels: Of the photos, which decides which files are photos, as `open_photos` has it.

    Raises:
        AnnotationError: A folder is missing or isn't sorted, or the classes differ.
        PhotosError: There are no photos.
    """
    root = Path(data)
    names = _classes(root / split)
    for other in ("train", "val"):
        if other != split and (root / other).is_dir():
            _check_same(root, split, names, other, _classes(root / other))
    photos = open_photos(root / split, channels)
    loose = next((key for key in photos.keys if "/" not in key), None)
    if loose is not None:
        raise AnnotationError(
            f"the photo {root / split / loose} is in no folder of a class; move it into one"
        )
    return ClassFolders(photos, names)


def _classes(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise AnnotationError(
            f"there is no folder {folder}; it takes train/CLASS/*.JPEG and val/CLASS/*.JPEG, as "
            f"of ImageNet, from image-net.org/challenges/LSVRC/2012"
        )
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if names:
        return tuple(names)
    if any(path.suffix.lower() in EXTENSIONS for path in folder.iterdir()):
        raise AnnotationError(
            f"the photos in {folder} aren't sorted into folders of classes; ImageNet's val is "
            f"sorted by ILSVRC2012_validation_ground_truth.txt of the official development kit "
            f"(ILSVRC2012_devkit_t12), or by valprep.sh of github.com/soumith/imagenetloader.torch"
        )
    raise AnnotationError(f"there are no folders of classes in {folder}")


def _check_same(
    root: Path, split: str, names: tuple[str, ...], other: str, others: tuple[str, ...]
) -> None:
    if names == others:
        return
    only = sorted(set(names) ^ set(others))
    where = split if only[0] in names else other
    raise AnnotationError(
        f"{root / split} has {len(names)} classes and {root / other} has {len(others)}, and "
        f"{only[0]} is in {where} alone; both must have the same"
    )
