"""Scores detections by COCO's average precision and recall, with pycocotools.

Image ids are the photos' numbers and category ids the classes' numbers, both from 1, unless the
data set has its own: then results are as COCO's server wants them.
"""

import contextlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detcon.downstream.tasks.detection.detections import Detections
from detcon.files import write_whole
from detcon.formats.objects import Objects

Kind = Literal["box", "mask"]
TYPES: dict[Kind, Literal["bbox", "segm"]] = {"box": "bbox", "mask": "segm"}
FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""COCO's twelve, in its order: precision over overlaps 0.5 to 0.95, at 0.5, at 0.75, of small,
medium and large objects; recall with 1, 10 and 100 detections a photo, and again by size."""


@runtime_checkable
class Numbered(Protocol):
    """A data set with ids of its own, for each photo and for each class."""

    @property
    def image_ids(self) -> Any: ...

    @property
    def category_ids(self) -> Any: ...


def ids_of(source: Any, photos: Sequence[int], num_classes: int) -> tuple[list[int], list[int]]:
    """The image ids of photos, given by their numbers in the data set, and the category ids."""
    if isinstance(source, Numbered):
        return [int(source.image_ids[i]) for i in photos], [int(i) for i in source.category_ids]
    return [number + 1 for number in photos], list(range(1, num_classes + 1))


def coco_truth(
    truth: Sequence[Objects], names: Sequence[str], ids: tuple[list[int], list[int]]
) -> dict[str, Any]:
    """Objects as a COCO data set.

    The area by which COCO calls an object small or large is that of the mask, or of the box where
    there are boxes alone.
    """
    images, categories = ids
    annotations = []
    for image, objects in zip(images, truth, strict=True):
        for number, (left, top, right, bottom) in enumerate(objects.boxes.tolist()):
            entry = {
                "id": len(annotations) + 1,  # 0 would never be matched
                "image_id": image,
                "category_id": categories[int(objects.classes[number])],
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": int(objects.crowd[number]),
            }
            if objects.segments:
                segment = objects.segments[number]
                entry |= {"segmentation": _written(segment), "area": _area(segment)}
            annotations.append(entry)
    sizes = [objects.size for objects in truth]
    return {
        "images": [
            {"id": image, "height": height, "width": width}
            for image, (height, width) in zip(images, sizes, strict=True)
        ],
        "categories": [
            {"id": category, "name": name} for category, name in zip(categories, names, strict=True)
        ],
        "annotations": annotations,
    }


def coco_results(
    found: Sequence[Detections], ids: tuple[list[int], list[int]], kind: Kind
) -> list[dict[str, Any]]:
    """Detections in COCO's format of results, boxes or masks."""
    images, categories = ids
    results = []
    for image, one in zip(images, found, strict=True):
        objects = one.objects
        for number, (left, top, right, bottom) in enumerate(objects.boxes.tolist()):
            entry = {
                "image_id": image,
                "category_id": categories[int(objects.classes[number])],
                "score": float(one.scores[number]),
            }
            if kind == "box":
                entry["bbox"] = [left, top, right - left, bottom - top]
            else:
                entry["segmentation"] = _written(objects.segments[number])
            results.append(entry)
    return results


def evaluate(
    truth: dict[str, Any], results: list[dict[str, Any]], kind: Kind
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """COCO's twelve figures, and the AP of each class by its name, all in per cent.

    None stands for what can't be said: there is no object of that class or size.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        known = _coco(truth)
        own: Any = [dict(result) for result in results]  # pycocotools writes into them
        found = known.loadRes(own) if own else _coco({**truth, "annotations": []})
        judge = COCOeval(known, found, TYPES[kind])
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    figures = {name: _per_cent(value) for name, value in zip(FIGURES, judge.stats, strict=True)}
    precision = judge.eval["precision"][:, :, :, 0, -1]  # overlap, recall, class
    order = {category: place for place, category in enumerate(judge.params.catIds)}
    per_class = {}
    for category in truth["categories"]:
        values = precision[:, :, order[category["id"]]]
        values = values[values > -1]
        per_class[category["name"]] = _per_cent(values.mean() if values.size else -1.0)
    return figures, per_class


def named_results(
    found: Iterable[tuple[str, Detections]], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Detections by the key of their photo, in COCO's format of results, with names too."""
    results = []
    for number, (key, one) in enumerate(found, start=1):
        ids = [number], list(range(1, len(names) + 1))
        parts = coco_results([one], ids, "box")
        if one.objects.segments:
            masks = coco_results([one], ids, "mask")
            parts = [{**box, **mask} for box, mask in zip(parts, masks, strict=True)]
        results += [
            {**part, "file_name": key, "category": names[part["category_id"] - 1]} for part in parts
        ]
    return results


def write_results(folder: Path, name: str, content: Any) -> None:
    """Writes `NAME.json` in one move."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{name}.json", json.dumps(content) + "\n")


def _coco(content: dict[str, Any]) -> COCO:
    coco = COCO()
    dataset: Any = {**content, "annotations": [dict(one) for one in content["annotations"]]}
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _area(segment: dict[str, Any]) -> float:
    return float(rle.area(segment))  # pyright: ignore[reportArgumentType]


def _per_cent(value: float | np.floating) -> float | None:
    return None if value < 0 else 100 * float(value)


def _written(segment: dict[str, Any]) -> dict[str, Any]:
    """A run-length code as JSON holds it."""
    counts = segment["counts"]
    return {
        "size": [int(side) for side in segment["size"]],
        "counts": counts.decode() if isinstance(counts, bytes) else counts,
    }
