"""YOLO: a text file for each photo, a line for each object: boxes, or polygons (segmentation).

    DIR/data.yaml       path, train, val: folders, lists of them, or .txt lists of photos; names
    DIR/images/train/a.jpg    DIR/labels/train/a.txt        Ultralytics' layout
    DIR/train/images/a.jpg    DIR/train/labels/a.txt        Roboflow's
    DIR/images/a.jpg          DIR/labels/a.txt              no split; names in classes.txt will do

A line is `class x y width height`, of a box's centre and size, or `class x1 y1 x2 y2 x3 y3 ...`,
all as shares of the upright photo. A photo without a file has no objects.
docs.ultralytics.com/datasets/detect and /segment.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from detcon.files import read_text
from detcon.formats.errors import AnnotationError
from detcon.formats.reading.drawing import Drawing, Drawings, LeftOut
from detcon.formats.reading.drawn import drawn_format
from detcon.formats.reading.holdout import by_folder
from detcon.formats.reading.shapes import Shape, numbers, outline_of, outlined
from detcon.photos import open_photos

_SPLITS = ("train", "val", "test")
_LISTS = ("classes.txt", "obj.names", "labels/classes.txt")
_EXAMPLE = "a data.yaml has the lines 'train: images/train', 'val: images/val', 'names: [cat, dog]'"
_ROUNDING = 0.01  # how far a share may lie outside 0 to 1


def read_yolo(data: Path) -> Drawings:
    """Reads a data set by its `data.yaml`, or a folder by its list of classes.

    Args:
        data: The folder, or the YAML file in it.

    Raises:
        AnnotationError: Something is missing or wrong; the sentence names the file and the line.
    """
    path = _find_yaml(data)
    if path is None:
        root, names = data, _listed_names(data)
        photos = {"": [root / key for key in open_photos(root).keys]}
    else:
        values = _read_yaml(path)
        names = _names(path, values)
        photos, root = _listed_photos(path, values)
    if not any(_label_file(photo).is_file() for part in photos.values() for photo in part):
        first = next(photo for part in photos.values() for photo in part)
        raise AnnotationError(
            f"no photo of {data} has a label file: the first, {first}, should have "
            f"{_label_file(first)}"
        )
    left = LeftOut()
    parts = {
        split: [_drawing(photo, root, names, left) for photo in part]
        for split, part in photos.items()
    }
    notes = left.sentences("lines") + _without_labels(photos) + _without_photos(photos)
    if path is None:
        parts = by_folder(parts[""], str(data))
    return Drawings(root, str(data), parts, names, notes)


def _drawing(photo: Path, root: Path, names: Sequence[str], left: LeftOut) -> Drawing:
    path = _label_file(photo)
    key = Path(os.path.relpath(photo, root)).as_posix()
    if not path.is_file():
        return Drawing(key, str(path), (), in_shares=True)
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise AnnotationError(f"{path} is no text that can be read: {error}") from error
    shapes, seen = [], set()
    for number, line in enumerate(lines, start=1):
        words, place = tuple(line.split()), f"line {number} of {path}"
        if words in seen:
            left.add("they repeat another of the same file", place)
        elif words:
            try:
                shapes.append(_shape(words, names, place))
            except ValueError as error:
                raise AnnotationError(f"{place} {error}; correct it") from error
        seen.add(words)
    return Drawing(key, str(path), shapes, in_shares=True)


def _shape(words: Sequence[str], names: Sequence[str], place: str) -> Shape:
    """One line. Raises `ValueError`, as the end of a sentence."""
    label = words[0]
    if not label.isascii() or not label.isdigit() or int(label) >= len(names):
        raise ValueError(f"has the class {label!r}, but classes go from 0 to {len(names) - 1}")
    num = len(words) - 1
    if num != 4 and (num < 6 or num % 2):
        raise ValueError(
            f"has {num} numbers behind the class; a box has 4 (x, y, width, height), a "
            f"polygon 6 and more, x and y by turns"
        )
    if num == 4:
        shares = numbers(words[1:], "x, y, width and height")
        _check_shares(shares)
        x, y, width, height = shares
        box = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
        return Shape(names[int(label)], box, place)
    points = outline_of(zip(words[1::2], words[2::2], strict=True))
    _check_shares(points)
    return outlined(names[int(label)], [points], place)


def _check_shares(shares: np.ndarray) -> None:
    wrong = shares[(shares < -_ROUNDING) | (shares > 1 + _ROUNDING)]
    if wrong.size:
        raise ValueError(
            f"has the coordinate {wrong.flat[0]:g}; they are shares of the photo, from 0 to 1"
        )


def _label_file(photo: Path) -> Path:
    """`labels` in place of the last folder `images`, or next to the photo."""
    parts = list(photo.parent.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts, f"{photo.stem}.txt")


def _find_yaml(data: Path) -> Path | None:
    if data.is_file():
        return data
    if not data.is_dir():
        raise AnnotationError(f"there is no folder {data}; check data=")
    found = sorted([*data.glob("*.yaml"), *data.glob("*.yml")])
    named = [path for path in found if path.stem in ("data", "dataset")] or found
    if len(named) > 1:
        raise AnnotationError(
            f"{data} holds {named[0].name} and {named[1].name}; give the one that describes the "
            f"data set as data="
        )
    return named[0] if named else None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = read_text(path)
        values = yaml.safe_load(text)
        if isinstance(values, dict) and "names" in values:  # as they are written: no, on, 01
            written = yaml.load(text, Loader=yaml.BaseLoader)
            values["names"] = written.get("names", values["names"])
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        what = " ".join(str(error).split())
        raise AnnotationError(f"{path} is no YAML that can be read: {what}") from error
    if not isinstance(values, dict):
        raise AnnotationError(f"{path} holds no names and values; {_EXAMPLE}")
    if "kpt_shape" in values:
        raise AnnotationError(f"{path} describes key points (kpt_shape), which aren't read here")
    return values


def _names(path: Path, values: dict[str, Any]) -> tuple[str, ...]:
    names: Any = values.get("names")
    if isinstance(names, dict):
        in_order = [str(number) for number in range(len(names))]
        if set(names) != set(in_order):
            raise AnnotationError(
                f"{path} numbers its names {', '.join(map(str, names))}; number them 0, 1, 2 ..."
            )
        names = [names[number] for number in in_order]
    if not isinstance(names, list) or not names:
        raise AnnotationError(f"{path} has no 'names', a list of the classes; {_EXAMPLE}")
    count = values.get("nc", len(names))
    if count != len(names):
        raise AnnotationError(f"{path} has nc: {count}, but {len(names)} names; correct one")
    return _checked(path, [str(name) for name in names])


def _listed_names(data: Path) -> tuple[str, ...]:
    path = next((data / name for name in _LISTS if (data / name).is_file()), None)
    if path is None:
        raise AnnotationError(
            f"there is no data.yaml in {data}, nor a classes.txt with a class a line; {_EXAMPLE}"
        )
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise AnnotationError(f"cannot read the classes {path}: {error}") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise AnnotationError(f"{path} names no classes; write one a line")
    return _checked(path, names)


def _checked(path: Path, names: list[str]) -> tuple[str, ...]:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise AnnotationError(f"{path} names the class {name!r} {count} times; rename the others")
    return tuple(names)


def _listed_photos(path: Path, values: dict[str, Any]) -> tuple[dict[str, list[Path]], Path]:
    """The photos of each split, and the folder that holds all."""
    base = path.parent / str(values.get("path") or "")
    bases = [base, path.parent] if base.is_dir() else [path.parent]
    photos = {
        split: _photos_of(path, bases, split, values[split])
        for split in _SPLITS
        if values.get(split)
    }
    if not photos:
        raise AnnotationError(f"{path} has neither 'train' nor 'val'; {_EXAMPLE}")
    if photos.get("val") and photos.get("val") == photos.get("train"):
        photos = {"": photos["train"]}
    folders = {str(photo.parent) for part in photos.values() for photo in part}
    return photos, Path(os.path.commonpath([os.path.abspath(one) for one in folders | {bases[0]}]))


def _photos_of(path: Path, bases: Sequence[Path], split: str, entries: Any) -> list[Path]:
    photos = []
    for entry in entries if isinstance(entries, list) else [entries]:
        place = _resolve(bases, str(entry))
        if place is None:
            raise AnnotationError(
                f"{path} has {str(entry)!r} as {split}, but there is no {bases[0] / str(entry)}; "
                f"correct it, or 'path'"
            )
        listed = open_photos(place)
        photos += [Path(os.path.abspath(listed.path(key))) for key in listed.keys]
    by_label: dict[Path, Path] = {}
    for photo in photos:
        if (other := by_label.setdefault(_label_file(photo), photo)) is not photo:
            raise AnnotationError(
                f"{other} and {photo} have the same label file, {_label_file(photo)}; rename one"
            )
    return sorted(photos)


def _resolve(bases: Sequence[Path], entry: str) -> Path | None:
    """Roboflow writes `../train/images`, but means `train/images`; Windows has backslashes."""
    for base in bases:
        for name in (entry, entry.removeprefix("../"), entry.replace("\\", "/")):
            if (base / name).exists():
                return base / name
    return None


def _without_labels(photos: dict[str, list[Path]]) -> tuple[str, ...]:
    every = [photo for part in photos.values() for photo in part]
    without = [photo for photo in every if not _label_file(photo).is_file()]
    if not without:
        return ()
    return (
        f"photos without a label file: {len(without)} of {len(every)} (they count as photos "
        f"without objects), the first is {without[0]}",
    )


def _without_photos(photos: dict[str, list[Path]]) -> tuple[str, ...]:
    known = {_label_file(photo) for part in photos.values() for photo in part}
    folders = sorted({file.parent for file in known})
    files = [file for folder in folders if folder.is_dir() for file in sorted(folder.glob("*.txt"))]
    lost = [file for file in files if file not in known and file.name not in _LISTS]
    if not lost:
        return ()
    return (f"label files left out: {len(lost)} (no photo), the first is {lost[0]}",)


FORMAT = drawn_format(read_yolo)
