"""ImageNet's layout: a folder of photos for each class, with training and validation splits.

DIR/train/cat/1.jpg  DIR/train/dog/2.jpg        DIR/val/cat/3.jpg  DIR/val/dog/4.jpg

The classes are the folders of `train`; `val` may lack some, but has no others.
"""

from dataclasses import dataclass
from pathlib import Path

from detcon.formats.errors import AnnotationError
from detcon.formats.format import Format, PhotoFiles
from detcon.photos import EXTENSIONS, Photos, is_system_folder, nearest_key, open_photos

_TASKS = {"labels": "knn_segmentation", "instances": "detection", "depth": "depth"}
"""Folders of maps, which are no classes, and the task that each is for."""


@dataclass(frozen=True, eq=False)
class ClassFolders(PhotoFiles):
    """The photos of one split, whose keys begin with the folders of their classes."""

    photos: Photos
    names: tuple[str, ...]

    def label(self, key: str) -> int:
        """The class of a photo: the place of its folder among the names."""
        return self.names.index(_folder(key))


def open_class_folders(data: str | Path, split: str, *, channels: int = 3) -> ClassFolders:
    """Opens `train` or `val` of a data set with a folder for each class.

    Args:
        data: Holds `train` and `val`.
        split: train or val.
        channels: Of the photos, as `open_photos` has it.

    Raises:
        AnnotationError: A folder is missing or isn't sorted, a class is empty, there is but one,
            or a class of val isn't in train.
        PhotosError: There are no photos at all.
    """
    root = Path(data)
    names = _classes(root / "train")
    folder = root / split
    for name in sorted(set(_classes(folder)) - set(names)):
        raise AnnotationError(
            f"there is a class {folder / name}, but no {root / 'train' / name} to learn it from"
            f"{nearest_key(name, names)}"
        )
    photos = open_photos(folder, channels)
    for loose in (key for key in photos.keys if "/" not in key):
        raise AnnotationError(
            f"the photo {folder / loose} lies in no folder of a class; move it into one"
        )
    if split == "train":
        for name in sorted(set(names) - set(map(_folder, photos.keys))):
            raise AnnotationError(
                f"there are no photos in the class {folder / name}; add some, or remove the folder"
            )
    return ClassFolders(photos, names)


def _classes(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise AnnotationError(
            f"there is no folder {folder}; classified photos need train/CLASS/*.jpg and "
            f"val/CLASS/*.jpg"
        )
    names = sorted(
        path.name for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and not is_system_folder(path.name)
    )  # fmt: skip
    if not names and any(path.suffix.lower() in EXTENSIONS for path in folder.iterdir()):
        raise AnnotationError(
            f"the photos in {folder} aren't sorted into folders of classes; ImageNet's val is "
            f"sorted by ILSVRC2012_validation_ground_truth.txt of the official development kit"
        )
    maps = [name for name in _TASKS if name in names]
    if maps and set(names) == {"images", *maps}:
        raise AnnotationError(
            f"{folder} holds photos with {' and '.join(maps)} for each pixel, not a folder for "
            f"each class; give another task=, such as {_TASKS[maps[0]]}, or another folder"
        )
    if len(names) < 2:
        raise AnnotationError(
            f"{folder} has {len(names)} folders of classes, but at least two are needed; "
            f"sort the photos into a folder for each class"
        )
    return tuple(names)


def _folder(key: str) -> str:
    return key.partition("/")[0]


FORMAT = Format(classes=open_class_folders)
