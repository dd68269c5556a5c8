"""COCO's JSON as Roboflow, CVAT and others export it: beside the photos, or a folder a split.

    DIR/train/_annotations.coco.json   DIR/train/a.jpg      Roboflow; its val is called valid
    DIR/annotations/instances_Train.json   DIR/images/Train/a.jpg       CVAT
    DIR/anything.json   DIR/a.jpg                           no split
    FILE.json                                               one of these files alone

Objects may have a segmentation or a box alone. cocodataset.org/#format-data.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pycocotools import mask as coco_mask

from detcon.formats.coco.json_file import is_whole, read_categories, read_coco_json, whole_number
from detcon.formats.coco.objects import open_coco, open_object_segments
from detcon.formats.coco.panoptic import open_coco_panoptic
from detcon.formats.coco.polygons import num_pixels
from detcon.formats.coco.rows import read_crowd
from detcon.formats.errors import AnnotationError
from detcon.formats.format import LabelMaps, ObjectSets
from detcon.formats.reading.beside import PhotoFinder, not_annotated
from detcon.formats.reading.drawing import Drawing, Drawings, LeftOut
from detcon.formats.reading.drawn import drawn_format
from detcon.formats.reading.holdout import SPLITS, Holdout
from detcon.formats.reading.shapes import Shape, box_of, outline_of, outlined
from detcon.formats.segments import SegmentOptions, SegmentSets

_RLE: Any = coco_mask  # its stubs know one kind of argument each
_LOOKED_AT = 20  # images, to find out where the photos are
Opened = TypeVar("Opened")


def open_objects(data: str | Path, split: str, *, holdout: Holdout | None = None) -> ObjectSets:
    """Opens COCO as it was downloaded or exported. Raises `AnnotationError`."""
    return _opened(Path(data), split, holdout, _EXPORTED.objects, open_coco)


def open_label_maps(data: str | Path, split: str, *, holdout: Holdout | None = None) -> LabelMaps:
    """Opens COCO's panoptic maps, or the objects of an export as label maps."""
    return _opened(Path(data), split, holdout, _EXPORTED.label_maps, open_coco_panoptic)


def open_segments(data: Path, options: SegmentOptions) -> SegmentSets:
    """Opens the objects of a data set, or of a JSON file, as regions."""
    if data.is_dir() and _is_exported(data):
        assert _EXPORTED.segments is not None
        return _EXPORTED.segments(data, options)
    return open_object_segments(data, options)


def read_exported(data: Path) -> Drawings:
    """Reads the JSON files of all splits, or one of them. Raises `AnnotationError`."""
    names: tuple[str, ...] = ()
    parts: dict[str, list[Drawing]] = {}
    root, (files, others) = _root(data), _files(data)
    for path in files:
        found, drawings = _read(path, root)
        if names and found != names:
            raise AnnotationError(
                f"{path} has the categories {', '.join(found)}, but another file of {data} has "
                f"{', '.join(names)}; export all splits from one "
                f"project, so that they have the same"
            )
        names = found
        parts.setdefault(_split_of(path.relative_to(root)), []).extend(drawings)
    if "" in parts and len(parts) > 1:
        raise AnnotationError(
            f"{data} has JSON files of splits, but {parts[''][0].place} is in one of no split; "
            f"move it into the folder of a split, or out of {data}"
        )
    keys = [one.key for part in parts.values() for one in part]
    left = LeftOut()
    for path in others:
        left.add(f"beside {files[0].name}", str(path))
    notes = not_annotated(PhotoFinder(root), keys, "image in the JSON")
    return Drawings(root, str(data), parts, names, (*left.sentences("JSON files"), *notes))


_EXPORTED = drawn_format(read_exported)


def _opened(
    data: Path,
    split: str,
    holdout: Holdout | None,
    exported: Callable[..., Opened] | None,
    downloaded: Callable[..., Opened],
) -> Opened:
    if _is_exported(data):
        assert exported is not None
        return exported(data, split, holdout=holdout)
    if holdout is not None and data.is_dir():
        raise AnnotationError(f"{data} is COCO with a val of its own; leave val= out")
    return downloaded(data, split)


def _is_exported(data: Path) -> bool:
    if not data.is_dir():
        return data.is_file()
    return not any((data / "annotations").glob("*_*2017.json")) and bool(_files(data)[0])


def _root(data: Path) -> Path:
    """The folder of a data set that is given as such, or as one of its files."""
    if data.is_dir():
        return data
    return data.parent.parent if data.parent.name == "annotations" else data.parent


def _files(data: Path) -> tuple[list[Path], list[Path]]:
    """The JSON files of the data set; where some have the names of objects', the others apart."""
    if data.is_file():
        return [data], []
    folders = [one for one in data.iterdir() if one.is_dir() and one.name.lower() in SPLITS]
    folders = [data, data / "annotations", *sorted(folders)]
    found = [path for folder in folders for path in sorted(folder.glob("*.json"))]
    found = [path for path in found if not path.name.startswith(".")]
    objects = [path for path in found if path.name.startswith(("instances_", "_annotations.coco"))]
    return objects or found, [path for path in found if objects and path not in objects]


def _split_of(path: Path) -> str:
    """The split that a file belongs to, by the words of its name and of its folder's."""
    words = re.split(r"[\W_\d]+", "/".join([*path.parts[:-1], path.stem]).lower())
    return next((SPLITS[word] for word in words if word in SPLITS), "")


def _read(path: Path, root: Path) -> tuple[tuple[str, ...], list[Drawing]]:
    """The names of the classes, and all images of a file with their objects."""
    values = read_coco_json(path)
    categories = read_categories(path, values["categories"])
    labels = dict(zip(categories.ids, categories.names, strict=True))
    images: dict[int, Mapping[str, Any]] = {}
    for entry in values["images"]:
        number, name = whole_number(path, entry, "id", "an image"), entry.get("file_name")
        if number in images:
            raise AnnotationError(f"{path} has two images with the id {number}; remove one")
        if not isinstance(name, str) or not name or "\0" in name:
            raise AnnotationError(
                f"the image {number} of {path} has no 'file_name'; write the photo's"
            )
        images[number] = entry
    sizes = {number: _size(path, number, entry) for number, entry in images.items()}
    shapes: dict[int, list[Shape]] = {number: [] for number in images}
    for entry in values["annotations"]:
        image = whole_number(path, entry, "image_id", "an annotation")
        place = f"the annotation {entry.get('id')!r} of {path}"
        if image not in images:
            raise AnnotationError(
                f"{place} has the image_id {image}, which isn't in the file; correct or remove it"
            )
        label = labels.get(whole_number(path, entry, "category_id", "an annotation"))
        if label is None:
            raise AnnotationError(
                f"{place} has a category_id that no category of the file has; correct it"
            )
        try:
            shapes[image].append(_shape(path, entry, label, place, sizes[image]))
        except AnnotationError:
            raise
        except ValueError as error:
            raise AnnotationError(f"{place} {error}; correct or remove it") from error
    names = {number: one["file_name"].replace("\\", "/") for number, one in images.items()}
    folder = _photos_of(path, root, list(names.values()))
    drawings = [
        Drawing(
            Path(os.path.relpath(folder / names[number], root)).as_posix(),
            f"the image {number} of {path}",
            shapes[number],
            sizes[number],
        )
        for number in images
    ]
    return categories.names, drawings


def _shape(
    path: Path, entry: dict[str, Any], label: str, place: str, size: tuple[int, int]
) -> Shape:
    """One annotation. Raises `ValueError`, as the end of a sentence."""
    box, outline = entry.get("bbox"), entry.get("segmentation")
    if box is None and outline:
        box = [0, 0, 0, 0]  # it follows from the outline
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"has {box!r} as 'bbox'; it takes left, top, width and height")
    corners = box_of(box)
    corners[2:] += corners[:2]
    has_area = corners[2] > corners[0] and corners[3] > corners[1]
    shape = Shape(label, corners, place, crowd=read_crowd(path, entry))
    if not outline:
        return shape
    if isinstance(outline, dict):
        mask = _decoded(outline, size)
        if not has_area and mask.any():
            left, top, *sides = _RLE.toBbox(_RLE.encode(np.asfortranarray(mask, np.uint8)))
            corners = np.array([left, top, left + sides[0], top + sides[1]])
        return replace(shape, mask=mask, box=corners)
    if not isinstance(outline, list) or not all(isinstance(one, list) for one in outline):
        raise ValueError("has a 'segmentation' that is neither polygons nor run lengths")
    if any(len(one) % 2 for one in outline):
        raise ValueError("has a polygon of an odd number of coordinates, not of x, y, x, y ...")
    polygons = [outline_of(zip(one[::2], one[1::2], strict=True)) for one in outline if one]
    if not polygons:
        return shape
    around = outlined(label, polygons, place, crowd=shape.crowd)
    return replace(around, box=corners) if has_area else around


def _decoded(code: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
    """A mask [y x] of run lengths, compressed or not."""
    counts, given = code.get("counts"), code.get("size")
    if given != list(size) or not isinstance(counts, list | str):
        raise ValueError(f"has run lengths of a mask of {given} pixels, not {list(size)}")
    try:
        runs = {"size": given, "counts": counts}
        if isinstance(counts, list):
            if min(counts) < 0 or sum(counts) != size[0] * size[1]:
                raise ValueError
            runs = _RLE.frPyObjects(runs, *size)
        elif num_pixels(counts.encode()) != size[0] * size[1]:
            raise ValueError
        mask = _RLE.decode(runs)
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ValueError("has run lengths that don't fill the picture") from error
    return mask > 0


def _size(path: Path, number: int, entry: Mapping[str, Any]) -> tuple[int, int]:
    height, width = entry.get("height"), entry.get("width")
    if not is_whole(height) or not is_whole(width) or min(height, width) < 1:
        raise AnnotationError(
            f"the image {number} of {path} has {height!r} and {width!r} as 'height' and 'width'; "
            f"give both, in pixels"
        )
    return height, width


def _photos_of(path: Path, root: Path, names: list[str]) -> Path:
    """The folder that `file_name`s are relative to: where most of the first ones are."""
    split, above = path.stem.rpartition("_")[2], path.parent.parent
    places = [path.parent, path.parent / "images"]
    if path.parent != root:
        places += [above / "images", above / "images" / split, above / split, above]
    found = [sum((one / name).is_file() for name in names[:_LOOKED_AT]) for one in places]
    return places[found.index(max(found))]
