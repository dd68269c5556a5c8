"""Opening annotations of any format as a source of masks."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from detcon.formats.ade20k import SUFFIX, read_ade20k
from detcon.formats.bsds import read_segmentations
from detcon.formats.cityscapes import open_cityscapes, open_cityscapes_objects
from detcon.formats.coco.objects import read_coco
from detcon.formats.coco.panoptic import read_coco_panoptic
from detcon.formats.errors import AnnotationError, NotAnnotated
from detcon.formats.reading.ids import read_ids
from detcon.formats.reading.label_files import VOID, read_map
from detcon.formats.reading.photo_paths import PhotoPaths
from detcon.formats.reading.sizes import check_size
from detcon.formats.tfrecord.records import open_fh_records
from detcon.formats.voc.reader import open_voc, open_voc_objects
from detcon.masks.annotated import (
    AnnotatedFiles,
    AnnotatedObjects,
    AnnotatedRecords,
    AnnotatedSegments,
    Annotation,
    AnnotationSource,
    annotation_of_ids,
    beside,
    listed,
    numbered,
    pictured,
    read_ids_or_pictures,
)

Format = Literal[
    "png", "folder", "coco", "coco_panoptic", "voc", "cityscapes", "ade20k", "bsds", "tfrecord"
]
Regions = Literal["instances", "classes"]

_NUM_CLASSES = 1 << 16  # at most, in PNGs
_FIRST_CLASS, _GROUPS, _FIRST_INSTANCE = 7, (24, 33), 1000  # label ids of Cityscapes


def open_source(
    folder: str | Path,
    format: Format,
    *,
    ignore: int | None,
    background: bool,
    split: str,
    regions: Regions,
    crowd: bool,
    which: int | None,
) -> AnnotationSource:
    """Opens annotations; the arguments are those of `FromAnnotations`.

    Raises:
        AnnotationError: There are none, or they can't be used.
    """
    path, merged = Path(folder), regions == "classes"
    if not path.exists():
        raise AnnotationError(f"there are no annotations {path}; check folder=")
    match format:
        case "png":
            load = partial(read_ids_or_pictures, ignore=ignore, background=background)
            return AnnotatedFiles(pictured(path), load)
        case "folder":
            load = partial(_load_labelled, folder=path, merged=merged, ignore=ignore)
            return AnnotatedFiles(beside(path / "labels", ".png"), load)
        case "coco":
            return _open_coco(path, split, merged, crowd, background)
        case "coco_panoptic":
            return _open_panoptic(path, split, merged, crowd)
        case "voc":
            return _open_voc(path, split, merged, ignore, background)
        case "cityscapes":
            return _open_cityscapes(path, split, merged, crowd)
        case "ade20k":
            return AnnotatedFiles(beside(path, SUFFIX), partial(_load_ade20k, merged=merged))
        case "bsds":
            return AnnotatedFiles(beside(path, ".mat"), partial(_load_bsds, which=which))
        case "tfrecord":
            return AnnotatedRecords(open_fh_records(path), which or 0, ignore)


def _load_labelled(
    path: Path, photo: str, folder: Path, merged: bool, ignore: int | None
) -> Annotation:
    """Objects are numbered behind the classes, which are what no object covers."""
    ids = read_ids(path, photo).astype(np.int64)
    void = (ids == ignore) | (ids == VOID)
    if not merged:
        file = folder / "instances" / path.relative_to(folder / "labels")
        instances = read_ids(file, photo)
        check_size(str(path), ids.shape, str(file), instances.shape)
        ids = np.where(instances > 0, instances.astype(np.int64) + _NUM_CLASSES, ids)
    return annotation_of_ids(np.where(void, -1, ids), str(path))


def _open_coco(
    path: Path, split: str, merged: bool, crowd: bool, background: bool
) -> AnnotatedObjects:
    file, folder = _coco_file(path, "instances", split)
    objects = read_coco(file, file.parent)
    paths = PhotoPaths(folder + key for key in objects.keys)
    return AnnotatedObjects(objects, paths, folder, merged, crowd, background)


def _open_panoptic(path: Path, split: str, merged: bool, crowd: bool) -> AnnotatedSegments:
    file, folder = _coco_file(path, "panoptic", split)
    segments = read_coco_panoptic(file, file.with_suffix(""), file.parent)
    paths = PhotoPaths(folder + key for key in segments.keys)
    return AnnotatedSegments(segments, paths, folder, merged, crowd)


def _coco_file(path: Path, kind: str, split: str) -> tuple[Path, str]:
    """The JSON file of a split, and the folder that its file names are within."""
    if path.is_file():
        return path, ""
    return path / "annotations" / f"{kind}_{split}2017.json", f"{split}2017/"


def _open_voc(
    path: Path, split: str, merged: bool, ignore: int | None, background: bool
) -> AnnotatedFiles:
    if merged:
        maps = open_voc(path, split)
        photos, files = maps.photos, maps.files
    else:
        instances = open_voc_objects(path, split)
        photos, files = instances.photos, instances.instances
    within = Path(photos.root).relative_to(path)
    return AnnotatedFiles(
        listed({str(within / key): file for key, file in files.items()}, f"{path} ({split})"),
        partial(_load_voc, none=() if background else (0,), ignore=ignore),
    )


def _load_voc(path: Path, photo: str, none: Sequence[int], ignore: int | None) -> Annotation:
    return annotation_of_ids(read_map(path, photo), str(path), none=none, void=(ignore,))


def _open_cityscapes(path: Path, split: str, merged: bool, crowd: bool) -> AnnotatedFiles:
    if merged:
        maps = open_cityscapes(path, split)
        photos, files = maps.photos, maps.files
    else:
        instances = open_cityscapes_objects(path, split)
        photos, files = instances.photos, instances.instances
    within = Path(photos.root).relative_to(path)
    return AnnotatedFiles(
        listed({str(within / key): file for key, file in files.items()}, f"{path} ({split})"),
        partial(_load_cityscapes, groups=crowd or merged),
    )


def _load_cityscapes(path: Path, photo: str, groups: bool) -> Annotation:
    """Ids of classes are below 1000, those of objects above; classes below 7 are void."""
    ids = read_ids(path, photo)
    kept = (ids >= _FIRST_CLASS) & (ids <= _GROUPS[1])
    if not groups:
        kept &= ids < _GROUPS[0]
    return annotation_of_ids(np.where(kept | (ids >= _FIRST_INSTANCE), ids, -1), str(path))


def _load_ade20k(path: Path, photo: str, merged: bool) -> Annotation:
    maps = read_ade20k(path, photo)
    ids = maps.classes if merged else maps.classes * 256 + maps.instances
    return annotation_of_ids(np.where(maps.classes == 0, -1, ids), str(path))


def _load_bsds(path: Path, photo: str, which: int | None) -> Annotation:
    if not path.is_file():
        raise NotAnnotated(f"there is no annotation {path} for the photo {photo}")
    people = [numbered(ids) for ids in read_segmentations(path, photo)]
    if which is None:
        return Annotation(max(people, key=lambda masks: masks.num_masks), str(path))
    if which >= len(people):
        raise AnnotationError(
            f"{path} has the regions of {len(people)} people, numbered from 0; give a lower which= "
            f"than {which}, or leave it out"
        )
    return Annotation(people[which], str(path))
