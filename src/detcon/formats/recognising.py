"""Recognises the format of a data set by the files that every copy of it has."""

from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from detcon.formats.errors import AnnotationError
from detcon.formats.reading.beside import read_json, read_xml
from detcon.formats.reading.holdout import SPLITS
from detcon.photos import EXTENSIONS

AUTO = "auto"
"""The format's name in settings that ask for it to be recognised."""

_SIGNS = {
    "coco": ("annotations/instances_*.json", "*/_annotations.coco.json", "_annotations.coco.json"),
    "coco_panoptic": ("annotations/panoptic_*.json",),
    "voc": ("**/SegmentationClass", "SegmentationClassAug"),
    "cityscapes": ("gtFine",),
    "camvid": ("trainannot",),
    "ade20k": ("objectInfo150.txt", "annotations/training", "**/*_seg.png"),
    "nyu": ("nyu_depth_v2_labeled.mat", "train/**/*.h5"),
    "bsds": ("groundTruth", "*.mat", "train/*.mat"),
    "tfrecord": ("*-of-*[0-9]",),
    "folder": (
        "train/labels/**/*.png",
        "train/instances",
        "train/depth",
        "labels/**/*.png",
        "instances",
    ),
    "hugging_face": ("**/*.parquet", "**/*.arrow"),
    "yolo": (
        "data.yaml",
        "dataset.yaml",
        "classes.txt",
        "obj.names",
        "labels/**/*.txt",
        "train/labels/*.txt",
    ),
}
"""Files and folders of each format, as patterns from the top of the data set."""
_RATHER = {"coco_panoptic": "coco", "folder": "nyu", "bsds": "nyu"}
"""Where a second format's signs are there too, that one is meant."""


def recognise(data: str | Path) -> tuple[str, str]:
    """The format of a data set, and the file or folder that shows it.

    Raises:
        AnnotationError: There is nothing, no format fits, or several do.
    """
    root = Path(data)
    if not root.exists():
        raise AnnotationError(f"there is no data set {root}; check the path")
    found = dict(_found(root))
    for name, other in _RATHER.items():
        if other in found:
            found.pop(name, None)
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        shown = " or ".join(f"{name} ({sign})" for name, sign in found.items())
        raise AnnotationError(f"{root} may be {shown}; say which with format=")
    if file := _of_photos_names(root):
        return file
    raise AnnotationError(
        f"cannot tell the format of {root}: nothing in it is a sign of a known one; say what it is "
        f"with format="
    )


def _found(root: Path) -> Iterator[tuple[str, str]]:
    """Formats whose signs are there, each with the first sign."""
    if root.is_file():
        yield from ((name, root.name) for name in [_by_content(root)] if name)
        return
    for name, patterns in _SIGNS.items():
        sign = next(chain.from_iterable(map(root.glob, patterns)), None)
        if sign is not None:
            yield name, sign.relative_to(root).as_posix()
    for suffix in ("xml", "json"):
        for path in islice(root.glob(f"**/*.{suffix}"), 20):
            name = _by_content(path)
            if name and not (name == "coco" and path.name.startswith("panoptic_")):
                yield name, path.relative_to(root).as_posix()
                break
    if any(_has_photos(folder) for folder in _class_folders(root)):
        yield "imagenet", "train"


def _of_photos_names(root: Path) -> tuple[str, str] | None:
    """Files under the photos' own names: those of BSDS, or PNGs of ids."""
    for suffix, name in (("mat", "bsds"), ("png", "png")):
        first = next(root.glob(f"**/*.{suffix}"), None) if root.is_dir() else None
        if first:
            return name, first.relative_to(root).as_posix()
    return None


def _by_content(path: Path) -> str:
    """The format of a file, "" if it is none of ours."""
    try:
        if path.suffix == ".xml":
            return {"annotation": "voc_xml", "annotations": "cvat"}.get(read_xml(path).tag, "")
        if path.suffix == ".json":
            return next((name for name, fits in _JSON.items() if fits(read_json(path))), "")
    except AnnotationError:
        return ""
    return "yolo" if path.suffix in (".yaml", ".yml") else ""


def _is_via(values: Any) -> bool:
    if not isinstance(values, dict):
        return False
    first = next(iter(values.values()), None)
    return "_via_img_metadata" in values or (isinstance(first, dict) and "regions" in first)


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda values: isinstance(values, dict) and set(names) <= set(values)


_JSON: dict[str, Callable[[Any], bool]] = {
    "labelme": _has("shapes"),
    "coco": _has("images", "annotations", "categories"),
    "via": _is_via,
}


def _class_folders(root: Path) -> list[Path]:
    """The folders of classes in `train`, if that holds nothing that has another meaning."""
    train = root / "train"
    folders = [one for one in train.iterdir() if one.is_dir()] if train.is_dir() else []
    others = {"images", "labels", "instances", "depth", "annotations", *SPLITS}
    return [] if any(one.name.lower() in others for one in folders) else folders


def _has_photos(folder: Path) -> bool:
    return any(path.suffix.lower() in EXTENSIONS for path in islice(folder.iterdir(), 100))
