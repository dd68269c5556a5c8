"""Label and instance maps of the labelled folder, with a training and a validation split.

    DIR/train/images/a.jpg      DIR/train/labels/a.png      label PNG of the same stem, class ids
    DIR/val/images/b.jpg        DIR/val/labels/b.png        255 = void: neither learnt nor counted
    DIR/classes.json            {"names": ["sky", "road"], "ignore": 255}      may be left out

For objects there is also `instances/a.png`, with 0 where there is none; an object's class is that
of its labels. `detcon scenes` writes such folders.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int16, Integer

from detcon.files import copy_again
from detcon.formats.errors import AnnotationError, check_folders
from detcon.formats.format import check_size
from detcon.formats.reading.ids import read_ids
from detcon.formats.reading.instances import InstanceFiles, Kind, majority
from detcon.formats.reading.label_files import LabelFiles, pngs_of
from detcon.formats.segments import VOID, SegmentFiles, SegmentOptions, Segments
from detcon.notes import note
from detcon.photos import Photos, open_photos
from detcon.progress import with_progress

_EXAMPLE = 'write {"names": ["sky", "road"], "ignore": 255}, at most 254 names, each once'
_NUM_IDS = 1 << 16  # in PNGs of 16 bits


def open_folder(
    data: str | Path,
    split: str,
    *,
    ignore: int | None = None,
    num_classes: int | None = None,
    channels: int = 3,
) -> LabelFiles:
    """Opens a labelled folder for semantic segmentation.

    Args:
        data: The folder.
        split: train or val.
        ignore: A class id that means void, besides 255; `classes.json` may name it too.
        num_classes: The number of classes; None: as `classes.json` says, or else from the greatest
            id in all label maps of train and val, which are then read.
        channels: Of the photos, which decides which files are photos, as `open_photos` has it.

    Raises:
        AnnotationError: A folder or a label file is missing, `classes.json` isn't understood, or
            all labels are void.
        PhotosError: There are no photos.
    """
    root = Path(data)
    names, named_ignore = _read_classes(root / "classes.json")
    if names and num_classes not in (None, len(names)):
        raise AnnotationError(
            f"num_classes={num_classes}, but {root / 'classes.json'} names {len(names)} classes; "
            f"leave num_classes out"
        )
    ignored = named_ignore if ignore is None else ignore
    count = len(names) or num_classes
    maps = _open_labels(root / split, count or VOID, ignored, channels)
    if not count:
        every = [_open_labels(root / s, VOID, ignored, channels) for s in ("train", "val")]
        seen = set[int]().union(*map(_labels_in, every))
        if not seen:
            raise AnnotationError(f"all labels of {root} are void; there is nothing to learn")
        count = max(seen) + 1
        if count > len(seen):
            note(
                f"{root}: classes go from 0 to {count - 1}, the greatest id in the labels, and "
                f"{count - len(seen)} of them occur nowhere; name the classes in classes.json, or "
                f"give task.ignore={count - 1} if it means void"
            )
        elif ignored is None:
            note(
                f"{root} has no classes.json: {count} classes, 0 to {count - 1}, by the ids in its "
                f"labels; if one of them means void, say so with task.ignore="
            )
        maps = replace(maps, classes=_table(count, ignored), wrong_id=_wrong_id(count))
    return replace(maps, names=names or tuple(f"class {i}" for i in range(count)))


def open_folder_objects(data: str | Path, split: str) -> InstanceFiles:
    """Opens a folder that has `instances` and `labels`; names are those of `open_folder`."""
    root = Path(data)
    names, ignore = _read_classes(root / "classes.json")
    photos, labels = _open_maps(root / split, "labels", 3)
    _, instances = _open_maps(root / split, "instances", 3)
    names = names or open_folder(root, split).names
    return InstanceFiles(photos, instances, labels, names, partial(_sort, ignore=ignore))


def open_segments(folder: Path, options: SegmentOptions) -> SegmentFiles:
    """Opens objects, and classes without objects, as regions; void is `options.ignore` and 255.

    `folder` is `train` or `val` of a labelled folder: it holds `labels` and `instances`.
    """

    def load(path: Path, photo: str) -> list[Segments]:
        labels = read_ids(path, photo).astype(np.int64)
        void, ids = (labels == options.ignore) | (labels == VOID), labels
        if options.regions == "instances":
            file = folder / "instances" / path.relative_to(folder / "labels")
            instances = read_ids(file, photo)
            check_size(str(path), labels.shape, str(file), instances.shape)
            ids = np.where(instances > 0, instances + _NUM_IDS, labels)  # behind all classes
        return [Segments(np.where(void, -1, ids), str(path))]

    return SegmentFiles(folder / "labels", ".png", load)


def _sort(
    ids: Integer[np.ndarray, "y x"],
    labels: Integer[np.ndarray, "y x"] | None,
    ignore: int | None = None,
) -> dict[int, Kind]:
    assert labels is not None
    counted = (ids > 0) & (labels >= 0) & (labels < VOID) & (labels != ignore)
    return {number: Kind(label) for number, label in majority(ids, labels, counted).items()}


def _open_labels(folder: Path, count: int, ignore: int | None, channels: int) -> LabelFiles:
    photos, files = _open_maps(folder, "labels", channels)
    return LabelFiles(photos, files, (), _table(count, ignore), _wrong_id(count))


def _open_maps(folder: Path, name: str, channels: int) -> tuple[Photos, dict[str, Path]]:
    more = ", and for objects train/instances and val/instances" if name == "instances" else ""
    needs = f"labelled data needs train/images, train/labels, val/images and val/labels{more}"
    check_folders(folder / "images", folder / name, hint=needs)
    photos = open_photos(folder / "images", channels)
    return photos, pngs_of(photos, folder / name, name)


def _table(count: int, ignore: int | None) -> Int16[np.ndarray, " n"]:
    """The classes that ids stand for."""
    classes = np.full(_NUM_IDS, -1, np.int16)
    classes[:count] = np.arange(count)
    classes[VOID] = VOID
    if ignore is not None and 0 <= ignore < _NUM_IDS:
        classes[ignore] = VOID
    return classes


def _wrong_id(count: int) -> str:
    most = VOID - 2
    name = f" name the class in classes.json (which has room for ids up to {most})," * (
        count <= most
    )
    return (
        f"class {{id}}, but classes go from 0 to {count - 1} (255 is void); correct the label,"
        f"{name} or give task.ignore={{id}} if it means void"
    )


def _labels_in(maps: LabelFiles) -> set[int]:
    """The class ids in use, void left out; reads every label map."""
    seen: Bool[np.ndarray, " n"] = np.zeros(VOID + 1, bool)
    keys = with_progress(maps.keys, "looking through labels", len(maps.keys), transient=True)
    for key in keys:
        seen |= np.bincount(maps.labels(key).ravel(), minlength=VOID + 1) > 0
    return set(np.flatnonzero(seen).tolist()) - {VOID}


def _read_classes(path: Path) -> tuple[tuple[str, ...], int | None]:
    """The names of the classes, () where there is no file, and the id that is ignored."""
    if not path.is_file():
        return (), None
    try:
        content = json.loads(path.read_bytes())
        names, ignore = content.get("names", []), content.get("ignore")
        understood = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
        understood &= isinstance(ignore, int | None) and isinstance(names, list)
        understood &= bool(content.keys() & {"names", "ignore"})
    except (ValueError, AttributeError, TypeError, RecursionError):
        understood, names, ignore = False, [], None
    if not understood or len(names) >= VOID:
        raise AnnotationError(f"{path} is not understood; {copy_again(path, otherwise=_EXAMPLE)}")
    return tuple(names), ignore
