"""Writes scenes in the layout of COCO 2017: photos, instances_*.json and panoptic_*.json.

DIR/{train,val}2017/000000000001.jpg     DIR/annotations/instances_{train,val}2017.json
DIR/annotations/panoptic_{train,val}2017.json and panoptic_{train,val}2017/000000000001.png

The panoptic PNG has all that is known of a picture, so an interrupted run finds it there.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco_mask

from detcon.formats.folder.layout import write_json
from detcon.formats.writing.scenes import (
    ScenePicture,
    ScenesPlan,
    is_sliver,
    read_pixels,
    write_pixels,
)

_RLE: Any = coco_mask  # its stubs know one kind of argument each
_PER_CLASS = 1000  # a segment's id is its category's, in thousands, and the object's number
_VAL_IDS = 500_000


@dataclass(frozen=True)
class CocoLayout:
    """Writes scenes as COCO 2017; a category's id is one more than the class id."""

    root: Path
    plan: ScenesPlan

    def find(self, split: str, number: int) -> dict[str, Any] | None:
        """The record of a picture that an earlier run wrote, if it is whole; else None."""
        photo, panoptic = self._files(split, number)
        colours = read_pixels(panoptic)
        if colours is None or colours.ndim != 3 or read_pixels(photo) is None:
            return None
        ids = colours.astype(np.int32) @ np.array([1, 256, 65536], np.int32)
        labels, instances = ids // _PER_CLASS - 1, ids % _PER_CLASS
        return self._record(photo.name, instances.astype(np.uint16), labels.astype(np.uint8))

    def save(self, split: str, number: int, picture: ScenePicture) -> dict[str, Any]:
        """Writes the panoptic PNG and the photo. Returns the picture's record."""
        photo, panoptic = self._files(split, number)
        ids = (picture.labels.astype(np.int32) + 1) * _PER_CLASS + picture.instances
        colours = np.stack([ids >> shift & 255 for shift in (0, 8, 16)], axis=2)
        write_pixels(panoptic, colours.astype(np.uint8))
        write_pixels(photo, picture.rgb)
        return self._record(photo.name, picture.instances, picture.labels)

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Writes both JSON files of a split."""
        categories = [
            {"id": label + 1, "name": name, "supercategory": "scene"}
            for label, name in enumerate(self.plan.names)
        ]
        images = [record["image"] for record in records]
        objects = [annotation for record in records for annotation in record["objects"]]
        for number, annotation in enumerate(objects, start=1):
            annotation["id"] = number
        stuff = self.plan.num_stuff
        every = [one | {"isthing": int(label >= stuff)} for label, one in enumerate(categories)]
        panoptic = [record["panoptic"] for record in records]
        for kind, annotations, listed in (
            ("instances", objects, categories[stuff:]),
            ("panoptic", panoptic, every),
        ):
            values = {
                "info": {"description": "scenes of detcon"},
                "images": images,
                "annotations": annotations,
                "categories": listed,
            }
            write_json(self.root / "annotations" / f"{kind}_{split}2017.json", values)

    def _files(self, split: str, number: int) -> tuple[Path, Path]:
        stem = f"{number + 1 + (_VAL_IDS if split == 'val' else 0):012d}"
        maps = self.root / "annotations" / f"panoptic_{split}2017"
        return self.root / f"{split}2017" / f"{stem}.jpg", maps / f"{stem}.png"

    def _record(self, name: str, instances: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        image, (height, width) = int(Path(name).stem), instances.shape
        objects, segments = [], []
        for number in range(1, int(instances.max()) + 1):
            inside = instances == number
            crowd = is_sliver(inside)
            segments.append(_segment(inside, int(labels[inside][0]) + 1, number, crowd))
            outline = runs_of(inside) if crowd else outline_of(inside)
            objects.append({"id": 0, "image_id": image, "segmentation": outline} | segments[-1])
        for label in range(self.plan.num_stuff):
            inside = (labels == label) & (instances == 0)
            if inside.any():
                segments.append(_segment(inside, label + 1, 0, False))
        return {
            "image": {"id": image, "file_name": name, "height": height, "width": width},
            "objects": objects,
            "panoptic": {
                "image_id": image,
                "file_name": Path(name).with_suffix(".png").name,
                "segments_info": segments,
            },
        }


def _segment(
    mask: Bool[np.ndarray, "y x"], category: int, number: int, crowd: bool
) -> dict[str, Any]:
    return {
        "id": category * _PER_CLASS + number,
        "category_id": category,
        "iscrowd": int(crowd),
        "bbox": list(cv2.boundingRect(mask.astype(np.uint8))),
        "area": int(mask.sum()),
    }


def outline_of(mask: Bool[np.ndarray, "y x"]) -> list[list[float]] | dict[str, Any]:
    """The outline of a mask as polygons or, where they can't give it (holes), as run lengths.

    Each pixel is doubled, and a contour of the doubled mask goes through one of the four halves
    of the pixels that meet at each corner, which tells where the corner is.
    """
    doubled = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corners = [(contour.reshape(-1, 2) + 1) // 2 for contour in contours]
    changes = [(points != np.roll(points, 1, axis=0)).any(1) for points in corners]
    polygons = [
        points[change].ravel().astype(float).tolist()
        for points, change in zip(corners, changes, strict=True)
    ]
    drawn = _RLE.decode(_RLE.merge(_RLE.frPyObjects(polygons, *mask.shape)))
    return polygons if np.array_equal(drawn, mask) else runs_of(mask)


def runs_of(mask: Bool[np.ndarray, "y x"]) -> dict[str, Any]:
    """A run-length code without compression: column by column, beginning with zeros."""
    pixels = np.concatenate([[False], mask.ravel(order="F")])
    edges = np.flatnonzero(pixels[1:] != pixels[:-1])
    counts = np.diff(edges, prepend=0, append=mask.size).tolist()
    return {"size": list(mask.shape), "counts": counts}
