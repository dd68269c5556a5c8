"""The lists of images and of categories, which all JSON files of COCO have.

The format is described at cocodataset.org/#format-data.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from jaxtyping import Int64

from detcon.formats.errors import AnnotationError
from detcon.formats.reading.beside import read_json
from detcon.photos import Photos

_MAX_SIDE = 1 << 16


@dataclass(frozen=True, eq=False)
class CocoImages:
    """The images of a JSON file, sorted by file name.

    Attributes:
        photos: The files; keys are their names.
        ids: The id of each.
        sizes: Height and width of each.
        place: The position of each id.
    """

    photos: Photos
    ids: Int64[np.ndarray, " i"]
    sizes: Int64[np.ndarray, "i 2"]
    place: dict[int, int]


@dataclass(frozen=True)
class CocoCategories:
    """The categories of a JSON file, sorted by id, which may have gaps; classes have none."""

    ids: tuple[int, ...]
    names: tuple[str, ...]

    def places(self) -> dict[int, int]:
        """The class of each category id."""
        return {number: place for place, number in enumerate(self.ids)}


def find_json(data: Path, kind: str, split: str) -> tuple[Path, str]:
    """The JSON file of a split, and the folder of its photos as a prefix of their names.

    `data` is COCO as it is downloaded, or the JSON file itself, where the prefix is empty; `kind`
    is instances or panoptic.
    """
    if data.is_file():
        return data, ""
    return data / "annotations" / f"{kind}_{split}2017.json", f"{split}2017/"


def read_coco_json(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Reads a file of images, annotations and categories. Raises `AnnotationError`."""
    if not path.exists():
        raise AnnotationError(
            f"there are no annotations {path}; COCO's come from cocodataset.org/#download"
        )
    values = read_json(path)
    parts = {}
    for part in ("images", "annotations", "categories"):
        entries = values.get(part) if isinstance(values, dict) else None
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise AnnotationError(
                f"{path} has no list of '{part}'; it takes 'images', 'annotations' and "
                f"'categories', as COCO's files have them"
            )
        if not entries:
            raise AnnotationError(f"{path} holds no {part}; there is nothing to learn or to judge")
        parts[part] = entries
    return parts


def read_images(path: Path, entries: Iterable[dict[str, Any]], folder: Path) -> CocoImages:
    """Checks and sorts the images, whose photos are in `folder`. Raises `AnnotationError`."""
    found = []
    for entry in entries:
        number = whole_number(path, entry, "id", "an image")
        name = entry.get("file_name")
        if not isinstance(name, str) or not name or "\0" in name:
            raise AnnotationError(
                f"the image {number} of {path} has no 'file_name'; write the photo's"
            )
        if "\\" in name and not (folder / name).exists():
            name = name.replace("\\", "/")  # as Windows writes paths
        size = entry.get("height"), entry.get("width")
        if not all(is_whole(side) and 0 < side <= _MAX_SIDE for side in size):
            raise AnnotationError(
                f"the image {number} of {path} has {size[0]!r} and {size[1]!r} as 'height' and "
                f"'width'; they are numbers of pixels, give both"
            )
        found.append((name, number, size))
    refuse_twice(path, (number for _, number, _ in found), "images with the id")
    refuse_twice(path, (name for name, _, _ in found), "images with the file name")
    found.sort()
    keys, ids = [name for name, _, _ in found], [number for _, number, _ in found]
    return CocoImages(
        photos=Photos(str(path), str(folder), keys),
        ids=np.array(ids, np.int64),
        sizes=np.array([size for _, _, size in found], np.int64).reshape(-1, 2),
        place={number: place for place, number in enumerate(ids)},
    )


def read_categories(path: Path, entries: Iterable[dict[str, Any]]) -> CocoCategories:
    """Checks and sorts the categories. Raises `AnnotationError`."""
    found = []
    for entry in entries:
        number = whole_number(path, entry, "id", "a category")
        if not isinstance(entry.get("name"), str):
            raise AnnotationError(f"the category {number} of {path} has no 'name'")
        found.append((number, entry["name"].strip()))
    refuse_twice(path, (number for number, _ in found), "categories with the id")
    refuse_twice(path, (name for _, name in found), "categories with the name")
    ids, names = zip(*sorted(found), strict=True)
    return CocoCategories(ids, names)


def whole_number(path: Path, entry: dict[str, Any], name: str, what: str) -> int:
    """A value that must be a whole number, as ids are. Raises `AnnotationError`."""
    value: Any = entry.get(name)
    if not is_whole(value) or abs(value) >= 1 << 62:
        known = f" (with the id {entry.get('id')!r})" if name != "id" else ""
        raise AnnotationError(
            f"{what} of {path}{known} has {value!r} as '{name}'; ids are whole numbers"
        )
    return value


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether it is a whole number; true and false aren't."""
    return isinstance(value, int) and not isinstance(value, bool)


def refuse_twice(path: Path, values: Iterable[Any], what: str) -> None:
    """Raises an `AnnotationError` if a value comes twice."""
    counts = Counter(values)
    if counts and (most := counts.most_common(1)[0])[1] > 1:
        raise AnnotationError(f"{path} has {most[1]} {what} {most[0]!r}; each must be unique")
