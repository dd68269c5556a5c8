"""Predictions as labels to correct: COCO, YOLO, LabelMe, VOC's XML, or maps of a labelled folder.

What they hold is learnt from again by `detcon transfer` with the same `format=`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
from jaxtyping import Bool, Float64, UInt8

from detcon.downstream.pictures import write_png
from detcon.downstream.tasks.detection.data import encoded
from detcon.downstream.tasks.detection.detections import Detections
from detcon.downstream.tasks.detection.scoring import coco_truth
from detcon.files import write_whole
from detcon.formats.objects import Objects
from detcon.formats.segments import VOID
from detcon.palette import class_colours

BACKGROUND = "background"
TOLERANCE = 0.2
"""Pixels by which a polygon may depart from the edge of its mask."""


def regions_of(labels: UInt8[np.ndarray, "y x"], names: Sequence[str]) -> Detections:
    """The connected regions of each class, those of the largest boxes first; the score is 1.

    Drawn in this order with their holes filled they give the map again: what lies in a hole has a
    smaller box, and comes later. So a region of the class "background" is an object only where
    others surround it.
    """
    regions = []  # minus the area of the box, box, class, mask
    for number in np.unique(labels).tolist():
        mask = (labels == number).astype(np.uint8)
        count, parts, found, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        for part in range(1, count):
            left, top, width, height, _ = found[part].tolist()
            right, bottom = left + width, top + height
            inside = left and top and right < labels.shape[1] and bottom < labels.shape[0]
            if names[number] != BACKGROUND or inside:
                box = (left, top, right, bottom)
                regions.append((-width * height, box, number, encoded(parts == part)))
    regions.sort(key=lambda region: region[:2])
    objects = Objects(
        size=(labels.shape[0], labels.shape[1]),
        boxes=np.array([box for _, box, _, _ in regions], np.float32).reshape(-1, 4),
        classes=np.array([number for _, _, number, _ in regions], np.int64),
        crowd=np.zeros(len(regions), bool),
        segments=tuple(code for _, _, _, code in regions),
    )
    return Detections(objects, np.ones(len(regions)))


SURE = 0.5
"""The score from which on objects are drawn and written as labels, unless another is given."""


def sure(found: Any, least: float = SURE) -> Any:
    """The objects with at least this score; what isn't objects stays as it is."""
    if not isinstance(found, Detections):
        return found
    chosen, objects = np.flatnonzero(found.scores >= least), found.objects
    parts = {name: getattr(objects, name)[chosen] for name in ("boxes", "classes", "crowd")}
    segments = tuple(objects.segments[n] for n in chosen) if objects.segments else ()
    return Detections(replace(objects, **parts, segments=segments), found.scores[chosen])


def write_labelme(folder: Path, key: str, found: Detections, names: Sequence[str]) -> None:
    """Writes KEY.json, to be copied next to the photo. Parts of an object share a group."""
    height, width = found.objects.size
    shapes = []
    for number, label in enumerate(found.objects.classes.tolist()):
        if found.objects.segments:
            kind, drawn = "polygon", [ring for ring in _rings(found, number) if _area(ring) > 0]
        else:
            kind, drawn = "rectangle", [found.objects.boxes[number].astype(float).reshape(2, 2)]
        for points in drawn:
            shapes.append(
                {
                    "label": names[label],
                    "points": points.round(2).tolist(),
                    "group_id": number if len(drawn) > 1 else None,
                    "shape_type": kind,
                    "flags": {},
                    "description": f"{float(found.scores[number]):.3f}",
                }
            )
    content = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": PurePosixPath(key).name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    path = folder / PurePosixPath(key).with_suffix(".json")
    write_whole(path, json.dumps(content, indent=1) + "\n", durable=False)


def write_yolo(folder: Path, key: str, found: Detections) -> None:
    """Writes `labels/KEY.txt`: a line for each object, a box or a polygon in shares of the photo.

    Parts and holes of an object are joined to one polygon by lines without area.
    """
    height, width = found.objects.size
    lines = []
    for number, label in enumerate(found.objects.classes.tolist()):
        if found.objects.segments:
            rings = [np.concatenate([ring, ring[:1]]) for ring in _rings(found, number)]
            joined = [*rings, *(ring[:1] for ring in reversed(rings[:-1]))]
            points = np.concatenate(joined) if joined else np.zeros((0, 2))
            values = (points / (width, height)).clip(0, 1).ravel()
        else:
            left, top, right, bottom = found.objects.boxes[number].tolist()
            centre = ((left + right) / 2 / width, (top + bottom) / 2 / height)
            values = np.array([*centre, (right - left) / width, (bottom - top) / height])
        if len(values):
            lines.append(" ".join([str(label), *(f"{value:.6f}" for value in values)]) + "\n")
    path = folder / "labels" / PurePosixPath(key).with_suffix(".txt")
    write_whole(path, "".join(lines), durable=False)


def write_voc_xml(
    folder: Path, key: str, found: Detections, names: Sequence[str], *, channels: int = 3
) -> int:
    """Writes KEY.xml: a box for each object, in pixels that count from 1, the last ones included.

    Edges are rounded to whole pixels, and lie within the photo; a box is one pixel wide and high
    at least. One of a single pixel is a click to readers, ours too, which leaves it out and says
    so. As LabelImg does, it marks what touches the photo's edge as truncated. There is no place
    for scores, nor for outlines: a region of "background", the hole of one, is no object here.

    Args:
        channels: Of the photo.

    Returns:
        The number of objects whose outline is left out.
    """
    height, width = found.objects.size
    root = ElementTree.Element("annotation")
    _add(root, filename=PurePosixPath(key).name)
    _add(ElementTree.SubElement(root, "size"), width=width, height=height, depth=channels)
    chosen = [n for n, one in enumerate(found.objects.classes) if names[one] != BACKGROUND]
    for number in chosen:
        left, top, right, bottom = np.rint(found.objects.boxes[number]).astype(int).tolist()
        left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
        right, bottom = max(min(right, width), left + 1), max(min(bottom, height), top + 1)
        entry = ElementTree.SubElement(root, "object")
        cut = left == 0 or top == 0 or right == width or bottom == height
        name = names[found.objects.classes[number]]
        _add(entry, name=name, pose="Unspecified", truncated=int(cut))
        _add(entry, difficult=int(found.objects.crowd[number]))
        box = ElementTree.SubElement(entry, "bndbox")
        _add(box, xmin=left + 1, ymin=top + 1, xmax=right, ymax=bottom)
    ElementTree.indent(root)
    path = folder / PurePosixPath(key).with_suffix(".xml")
    text = ElementTree.tostring(root, encoding="unicode")
    write_whole(path, f"{text}\n", durable=False)
    return len(chosen) if found.objects.segments else 0


def write_folder(folder: Path, key: str, found: Detections) -> int:
    """Writes `labels/KEY.png` and `instances/KEY.png` of objects with masks, as `format=folder`.

    A pixel belongs to the surest of its objects. Those of none are void in the labels, since their
    class is unknown.

    Returns:
        The number of objects that surer ones hide whole, which are left out.
    """
    labels = np.full(found.objects.size, VOID, np.uint8)
    instances = np.zeros(found.objects.size, np.uint16)
    for number in np.argsort(found.scores, kind="stable").tolist():
        mask = found.objects.mask(number)
        labels[mask], instances[mask] = found.objects.classes[number], number + 1
    name = PurePosixPath(key).with_suffix(".png")
    write_png(folder / "labels" / name, labels, palette=class_colours())
    write_png(folder / "instances" / name, instances)
    return len(found) - int(np.count_nonzero(np.unique(instances)))


def write_predicted(folder: Path, keys: Sequence[str]) -> None:
    """Lists the photos whose labels are predictions, in a file that `cp -rn` takes along.

    Its name follows from its content: lists of several rounds lie side by side.
    """
    if not keys:
        return
    content = "".join(f"{key}\n" for key in keys).encode(errors="surrogateescape")
    name = f"predicted-{hashlib.sha256(content).hexdigest()[:8]}.txt"
    write_whole(folder / name, content)


def read_predicted(folder: Path) -> set[str]:
    """The photos that lists of `write_predicted` name; none without such lists."""
    lists = [path.read_bytes() for path in folder.glob("predicted-*.txt")]
    return {key for one in lists for key in one.decode(errors="surrogateescape").splitlines()}


def _add(element: ElementTree.Element, **values: Any) -> None:
    for name, value in values.items():
        ElementTree.SubElement(element, name).text = str(value)


def coco_entries(found: Detections, names: Sequence[str]) -> dict[str, Any]:
    """One photo's part of a COCO data set, with scores; ids are given by `join_coco`."""
    part = coco_truth([found.objects], names, ([0], list(range(1, len(names) + 1))))
    for entry, score in zip(part["annotations"], found.scores, strict=True):
        entry["score"] = round(float(score), 6)
    return {"image": part["images"][0], "annotations": part["annotations"]}


def join_coco(parts: Mapping[str, dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """A COCO data set of the parts by the keys of their photos; all ids count from 1."""
    images, annotations = [], []
    for image, key in enumerate(sorted(parts), start=1):
        images.append(parts[key]["image"] | {"id": image, "file_name": key})
        for entry in parts[key]["annotations"]:
            annotations.append(entry | {"id": len(annotations) + 1, "image_id": image})
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    return {"images": images, "categories": categories, "annotations": annotations}


def _rings(found: Detections, number: int) -> list[Float64[np.ndarray, "p 2"]]:
    """The outlines (x, y) of an object's mask, on the edges of pixels; those of holes run back."""
    from skimage.measure import approximate_polygon, find_contours  # a second, for SciPy's signals

    mask: Bool[np.ndarray, "y x"] = np.pad(found.objects.mask(number), 1)
    rings = []
    for line in find_contours(mask.astype(np.float64), 0.5):
        ring = approximate_polygon(line, TOLERANCE)[:-1, ::-1] - 0.5
        if len(ring) >= 3:
            rings.append(ring)
    return sorted(rings, key=lambda ring: -abs(_area(ring)))


def _area(ring: Float64[np.ndarray, "p 2"]) -> float:
    """The area within a ring, positive for an outline and negative for a hole."""
    x, y = ring.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y)) / 2
