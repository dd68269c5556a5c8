"""Reads PASCAL VOC 2012 as downloaded, with SBD: classes and objects.

    VOCdevkit/VOC2012/JPEGImages/2007_000033.jpg        SegmentationClass/2007_000033.png
    VOCdevkit/VOC2012/SegmentationObject/2007_000033.png    ImageSets/Segmentation/{train,val}.txt
    benchmark_RELEASE/dataset/{cls,inst}/2008_000002.mat    {train,val}.txt               (SBD)

Training photos are train_aug where SBD is there: VOC's train and all of SBD but VOC's val, 10,582
in all; VOC's own labels win where both have some. Everingham et al., IJCV 2015; Hariharan et al.,
"Semantic contours from inverse detectors", ICCV 2011.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from detcon.files import read_text
from detcon.formats.errors import AnnotationError, check_folders
from detcon.formats.reading.ids import read_map
from detcon.formats.reading.instances import InstanceFiles, Kind, majority
from detcon.formats.reading.label_files import LabelFiles, check_files, check_listed
from detcon.formats.segments import (
    VOID,
    ListedSegments,
    SegmentOptions,
    Segments,
    list_segments,
    without,
)
from detcon.photos import Photos

NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip

_VOC_FROM = "VOC 2012 comes from host.robots.ox.ac.uk/pascal/VOC/voc2012"
_SBD_FROM = "SBD comes from home.bharathh.info/pubs/codes/SBD"
_AUG_LISTS = ("train_aug.txt", "trainaug.txt")
_AUG_MAPS = "SegmentationClassAug"


def open_voc(data: str | Path, split: str, *, augmented: bool | None = None) -> LabelFiles:
    """Opens VOC 2012 for semantic segmentation: 21 classes, of which the first is background.

    Args:
        data: `VOC2012`, `VOCdevkit`, or what holds that.
        split: train, val or trainval.
        augmented: Whether train is train_aug, from SBD or from a folder `SegmentationClassAug`
            with its list `train_aug.txt`; None if one of them is there.

    Raises:
        AnnotationError: A part is missing; the sentence says where it comes from.
    """
    root, hint = _find_root(Path(data)), f"; {_VOC_FROM}"
    files = _own_files(root, split, "SegmentationClass")
    if split == "train" and augmented is not False:
        more = _sbd_files(root, "cls") or _aug_files(root)
        if augmented and not more:
            raise AnnotationError(_no_sbd(root, f"and there is no {root / _AUG_MAPS} either"))
        files = _without_val(root, more) | files
        hint += f", {_SBD_FROM}" * bool(more)
    photos = _photos(root, files)
    check_files(photos, files, hint=hint)
    return LabelFiles(
        photos=photos,
        files=files,
        names=NAMES,
        classes=np.array([*range(len(NAMES)), *[-1] * (VOID - len(NAMES)), VOID], np.int16),
        wrong_id="class {id}, but VOC's classes go from 0 to 20 (255 is void); copy it again",
    )


def open_voc_objects(
    data: str | Path, split: str, *, augmented: bool | None = None
) -> InstanceFiles:
    """Opens VOC 2012 for instance segmentation: 20 classes, without the background.

    Arguments are those of `open_voc`; `SegmentationClassAug` has no objects.
    """
    root, hint = _find_root(Path(data)), f"; {_VOC_FROM}"
    instances = _own_files(root, split, "SegmentationObject")
    labels = _own_files(root, split, "SegmentationClass")
    if split == "train" and augmented is not False:
        more = _without_val(root, _sbd_files(root, "inst"))
        if augmented and not more:
            raise AnnotationError(_no_sbd(root, f"and {_AUG_MAPS} has no objects"))
        instances = more | instances
        labels = _without_val(root, _sbd_files(root, "cls")) | labels
        hint += f", {_SBD_FROM}" * bool(more)
    photos = _photos(root, instances)
    check_files(photos, instances, hint=hint)
    return InstanceFiles(photos, instances, labels, NAMES[1:], _sort)


def open_segments(data: Path, options: SegmentOptions) -> ListedSegments[Path]:
    """Opens objects, or classes, as regions; id 0 is background, `ignore` the border."""
    if options.regions == "classes":
        maps = open_voc(data, options.split)
        photos, files = maps.photos, maps.files
    else:
        objects = open_voc_objects(data, options.split)
        photos, files = objects.photos, objects.instances

    def load(path: Path, photo: str) -> list[Segments]:
        ids = without(read_map(path, photo), options.ignore)
        return [Segments(ids, str(path), unmarked=(0,))]

    return list_segments(data, options.split, photos.root, files, load)


def _sort(
    ids: Integer[np.ndarray, "y x"], labels: Integer[np.ndarray, "y x"] | None
) -> dict[int, Kind]:
    """Class 1 of the map is the first class of objects; border and background are neither."""
    assert labels is not None
    counted = (ids > 0) & (ids < VOID) & (labels > 0) & (labels < VOID)
    classes = majority(ids, labels, counted)
    return {number: Kind(label - 1) for number, label in classes.items()}


def _find_root(data: Path) -> Path:
    for root in (data, data / "VOC2012", data / "VOCdevkit" / "VOC2012"):
        if (root / "ImageSets").is_dir() or (root / "JPEGImages").is_dir():
            break
    else:
        raise AnnotationError(
            f"there is no VOC 2012 in {data}: looked for VOCdevkit/VOC2012/JPEGImages; {_VOC_FROM}"
        )
    parts = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
    check_folders(*(root / part for part in parts), hint=_VOC_FROM)
    return root


def _own_files(root: Path, split: str, part: str) -> dict[str, Path]:
    stems = _read_list(root / "ImageSets" / "Segmentation" / f"{split}.txt", _VOC_FROM)
    check_folders(root / part, hint=_VOC_FROM)
    return {f"{stem}.jpg": root / part / f"{stem}.png" for stem in stems}


def _sbd_files(root: Path, part: str) -> dict[str, Path]:
    """The files of SBD by photo; empty where there is no SBD."""
    for place in (root, root.parent, root.parent.parent):
        folder = place / "benchmark_RELEASE" / "dataset"
        if folder.is_dir():
            break
    else:
        return {}
    check_folders(folder / part, hint=_SBD_FROM)
    stems = [stem for s in ("train", "val") for stem in _read_list(folder / f"{s}.txt", _SBD_FROM)]
    return {f"{stem}.jpg": folder / part / f"{stem}.mat" for stem in stems}


def _aug_files(root: Path) -> dict[str, Path]:
    """SBD as label PNGs, which others have made of it; empty where there are none."""
    for place in (root, root.parent, root.parent.parent):
        for lists in (root / "ImageSets" / "Segmentation", place / _AUG_MAPS, place):
            for name in _AUG_LISTS:
                if (place / _AUG_MAPS).is_dir() and (lists / name).is_file():
                    stems = _read_list(lists / name, _SBD_FROM)
                    return {f"{stem}.jpg": place / _AUG_MAPS / f"{stem}.png" for stem in stems}
    return {}


def _without_val(root: Path, files: Mapping[str, Path]) -> dict[str, Path]:
    if not files:
        return {}
    val = _own_files(root, "val", "SegmentationClass")
    return {key: path for key, path in files.items() if key not in val}


def _read_list(path: Path, source: str) -> list[str]:
    """The stems of a list; some lists have whole paths, of photo and label."""
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise AnnotationError(f"there is no list {path}; {source}") from error
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        raise AnnotationError(f"cannot read the list {path}: {what}") from error
    stems = [Path(line.split()[0]).stem for line in text.splitlines() if line.strip()]
    if not stems:
        raise AnnotationError(f"the list {path} is empty; {source}")
    return stems


def _photos(root: Path, files: Mapping[str, Path]) -> Photos:
    photos = Photos(str(root), str(root / "JPEGImages"), sorted(files))
    check_listed(photos, lists_all=False)
    return photos


def _no_sbd(root: Path, but: str) -> str:
    return (
        f"there is no benchmark_RELEASE/dataset next to {root}, {but}; {_SBD_FROM}, or give "
        f"augmented=False"
    )
