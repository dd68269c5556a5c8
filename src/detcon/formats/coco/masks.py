"""Masks as one JSON file in COCO's format, of run-length codes; cocodataset.org/#format-data."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from detcon.files import replacing
from detcon.formats.writing.masks import MasksToWrite, WrittenMasks

FILE = "masks.json"

_RLE: Any = coco_mask  # its stubs know one kind of argument each


Described = tuple[dict[str, Any], list[dict[str, Any]]]
"""The entries of a photo and of its masks that aren't empty, before they are numbered."""


def describe_photos(masks: MasksToWrite, keys: Sequence[str]) -> list[Described]:
    """Encodes the masks of some photos at the photos' sizes; scores of ranked ones as `score`."""
    return [_describe(masks[key].at_size(), key) for key in keys]


def write_coco(path: Path, described: Iterable[Described]) -> None:
    """Writes photos and their masks as they come, numbered from 1 in this order."""
    images, number = [], 0
    with replacing(path) as file:
        file.write(b'{"categories": [{"id": 1, "name": "mask"}],\n"annotations": [')
        for image, (photo, annotations) in enumerate(described, start=1):
            images.append(json.dumps({"id": image} | photo))
            for annotation in annotations:
                number += 1
                entry = {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0}
                comma = ",\n" if number > 1 else "\n"
                file.write(f"{comma}{json.dumps(entry | annotation)}".encode())
        file.write(b'],\n"images": [\n' + ",\n".join(images).encode() + b"]}\n")


def _describe(masks: WrittenMasks, key: str) -> Described:
    height, width = masks.size
    found = []
    for number, mask in enumerate(masks.stack()):
        if not mask.any():
            continue
        code = _RLE.encode(np.asfortranarray(mask, np.uint8))
        entry = {
            "segmentation": {"size": [height, width], "counts": code["counts"].decode()},
            "area": int(_RLE.area(code)),
            "bbox": _RLE.toBbox(code).tolist(),
        }
        if masks.scores is not None:
            entry["score"] = round(float(masks.scores[number]), 4)
        found.append(entry)
    return {"file_name": key, "height": height, "width": width}, found
