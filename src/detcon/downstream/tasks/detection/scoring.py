"""Scores detections by COCO's average precision and recall, with pycocotools.

Image ids are the photos' numbers and category ids the classes' numbers, both from 1, unless the
data set has its own: then results are as COCO's server wants them.
"""

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

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
Ids = tuple[list[int], list[int]]
"""The image ids of photos and the category ids of classes."""


def ids_of(source: Any, photos: Sequence[int], num_classes: int) -> Ids:
    """The ids of photos, given by their numbers in the data set, and of classes."""
    if hasattr(source, "image_ids"):  # and category_ids: a data set with ids of its own
        return [int(source.image_ids[i]) for i in photos], [int(i) for i in source.category_ids]
    return [number + 1 for number in photos], list(range(1, num_classes + 1))


def coco_truth(truth: Sequence[Objects], names: Sequence[str], ids: Ids) -> dict[str, Any]:
    """Objects as a COCO data set.

    The area by which COCO calls an object small or large is that of the mask, or of the box where
    there are boxes alone.
    """
    images, categories = ids
    listed, annotations = [], []
    for image, objects in zip(images, truth, strict=True):
        listed.append({"id": image, "height": objects.size[0], "width": objects.size[1]})
        for number, label in enumerate(objects.classes.tolist()):
            box = _box(objects, number)
            entry = {
                "id": len(annotations) + 1,  # 0 would never be matched
                "image_id": image,
                "category_id": categories[label],
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(objects.crowd[number]),
            }
            if objects.segments:
                segment: Any = objects.segments[number]
                entry |= {"segmentation": _as_text(segment), "area": float(rle.area(segment))}
            annotations.append(entry)
    classes = [{"id": id_, "name": name} for id_, name in zip(categories, names, strict=True)]
    return {"images": listed, "categories": classes, "annotations": annotations}


def coco_results(found: Sequence[Detections], ids: Ids, kind: Kind) -> list[dict[str, Any]]:
    """Detections in COCO's format of results, boxes or masks."""
    images, categories = ids
    results = []
    for image, one in zip(images, found, strict=True):
        for number, label in enumerate(one.objects.classes.tolist()):
            entry = {"image_id": image, "category_id": categories[label]}
            entry["score"] = float(one.scores[number])
            if kind == "box":
                entry["bbox"] = _box(one.objects, number)
            else:
                entry["segmentation"] = _as_text(one.objects.segments[number])
            results.append(entry)
    return results


def evaluate(
    truth: dict[str, Any], results: list[dict[str, Any]], kind: Kind
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """COCO's twelve figures, and the AP of each class by its name, all in per cent.

    None stands for what can't be measured: there is no object of that class or size.
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


def named_results(key: str, found: Detections, names: Sequence[str]) -> list[dict[str, Any]]:
    """A photo's detections in COCO's format of results, with names in place of an image id."""
    ids = [0], list(range(1, len(names) + 1))
    kinds: tuple[Kind, ...] = ("box", "mask") if found.objects.segments else ("box",)
    results = []
    for parts in zip(*(coco_results([found], ids, kind) for kind in kinds), strict=True):
        entry = {name: value for part in parts for name, value in part.items()}
        category = names[entry["category_id"] - 1]
        results.append({**entry, "file_name": key, "category": category})
        del results[-1]["image_id"]
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


def _box(objects: Objects, number: int) -> list[float]:
    """Left, top, width and height of a box."""
    left, top, right, bottom = objects.boxes[number].tolist()
    return [left, top, right - left, bottom - top]


def _per_cent(value: float | np.floating) -> float | None:
    return None if value < 0 else 100 * float(value)


def _as_text(segment: dict[str, Any]) -> dict[str, Any]:
    """A run-length code as JSON holds it."""
    counts = segment["counts"]
    counts = counts.decode() if isinstance(counts, bytes) else counts
    return {"size": [int(side) for side in segment["size"]], "counts": counts}
