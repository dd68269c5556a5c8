"""Opening any data set by the name of its format."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from detcon.formats.camvid import open_camvid
from detcon.formats.cityscapes import open_cityscapes, open_cityscapes_objects
from detcon.formats.coco.objects import open_coco
from detcon.formats.coco.panoptic import open_coco_panoptic
from detcon.formats.errors import AnnotationError
from detcon.formats.folder.depth import open_depth_folder
from detcon.formats.folder.labels import open_folder, open_folder_objects
from detcon.formats.format import ClassifiedPhotos, DepthMaps, LabelMaps, ObjectSets
from detcon.formats.imagenet import open_class_folders
from detcon.formats.nyu.opening import open_nyu
from detcon.formats.voc.reader import open_voc, open_voc_objects

Format = Literal["folder", "coco", "voc", "cityscapes", "nyu", "camvid", "imagenet"]

Opened = TypeVar("Opened")

_LABEL_MAPS: dict[Format, Callable[..., LabelMaps]] = {
    "folder": open_folder,
    "coco": open_coco_panoptic,
    "voc": open_voc,
    "cityscapes": open_cityscapes,
    "camvid": open_camvid,
}
_OBJECTS: dict[Format, Callable[..., ObjectSets]] = {
    "folder": open_folder_objects,
    "coco": open_coco,
    "voc": open_voc_objects,
    "cityscapes": open_cityscapes_objects,
}
_DEPTH: dict[Format, Callable[..., DepthMaps]] = {"folder": open_depth_folder, "nyu": open_nyu}
_CLASSES: dict[Format, Callable[..., ClassifiedPhotos]] = {
    "folder": open_class_folders,
    "imagenet": open_class_folders,
}


def open_label_maps(root: str | Path, format: Format, split: str, **options: Any) -> LabelMaps:
    """Opens photos with a class for each pixel.

    Args:
        root: The data set, as the module of its format says.
        format: folder, coco (panoptic), voc, cityscapes or camvid.
        split: train or val.
        options: What the format's own function takes besides.

    Raises:
        AnnotationError: There are no label maps in this format, or the data set can't be used.
        PhotosError: There are no photos.
    """
    return _find(_LABEL_MAPS, format, "label maps")(root, split, **options)


def open_objects(root: str | Path, format: Format, split: str, **options: Any) -> ObjectSets:
    """Opens photos with objects: boxes, classes and masks.

    Args:
        root: The data set, as the module of its format says.
        format: folder, coco, voc or cityscapes.
        split: train or val.
        options: What the format's own function takes besides.

    Raises:
        AnnotationError: There are no objects in this format, or the data set can't be used.
        PhotosError: There are no photos.
    """
    return _find(_OBJECTS, format, "objects")(root, split, **options)


def open_depth(root: str | Path, format: Format, split: str, **options: Any) -> DepthMaps:
    """Opens photos with the depth of each pixel.

    Args:
        root: The data set, as the module of its format says.
        format: folder or nyu.
        split: train or val.
        options: What the format's own function takes besides.

    Raises:
        AnnotationError: There is no depth in this format, or the data set can't be used.
        PhotosError: There are no photos.
    """
    return _find(_DEPTH, format, "depth")(root, split, **options)


def open_classes(root: str | Path, format: Format, split: str, **options: Any) -> ClassifiedPhotos:
    """Opens photos with a class each.

    Args:
        root: The data set, as the module of its format says.
        format: folder or imagenet, which is laid out alike.
        split: train or val.
        options: What the format's own function takes besides.

    Raises:
        AnnotationError: There are no classes of photos in this format, or the data set can't be
            used.
        PhotosError: There are no photos.
    """
    return _find(_CLASSES, format, "classes of whole photos")(root, split, **options)


def _find(known: Mapping[Format, Callable[..., Opened]], format: Format, what: str) -> Any:
    if format not in known:
        raise AnnotationError(
            f"data in the format '{format}' has no {what}; formats that have: {', '.join(known)}"
        )
    return known[format]
