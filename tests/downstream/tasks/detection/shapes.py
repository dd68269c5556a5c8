"""Photos of coloured shapes with boxes and masks, made when asked for: no files."""

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as rle

from detcon.formats.objects import Objects

NAMES = ("square", "disc")
COLOURS = np.array([[230, 60, 40], [40, 80, 230]])


def objects_of(size, boxes, classes, masks=None, crowd=None):
    """Objects by lists; without masks, boxes alone."""
    num = len(boxes)
    segments = (
        () if masks is None else tuple(rle.encode(np.asfortranarray(m, np.uint8)) for m in masks)
    )
    return Objects(
        size=size,
        boxes=np.array(boxes, np.float32).reshape(num, 4),
        classes=np.array(classes, np.int64),
        crowd=np.array([False] * num if crowd is None else crowd, bool),
        segments=segments,
    )


@dataclass(frozen=True)
class Shapes:
    """An `ObjectSets`: each photo has up to `most` shapes, drawn from its number."""

    num: int
    seed: int
    size: tuple[int, int] = (64, 64)
    least: int = 1
    most: int = 3
    has_masks: bool = True
    crowd: bool = False
    names: tuple[str, ...] = NAMES

    @property
    def keys(self):
        return [f"{number:03}.png" for number in range(self.num)]

    def photo(self, key, channels=3):
        return self.draw(key)[0][..., :channels]

    def objects(self, key):
        return self.draw(key)[1]

    def draw(self, key):
        rng = np.random.default_rng([self.seed, int(key[:3])])
        height, width = self.size
        y, x = np.mgrid[:height, :width]
        photo = rng.integers(90, 130, (height, width, 3))
        owner = np.full((height, width), -1)
        num = int(rng.integers(self.least, self.most + 1))
        classes = rng.integers(2, size=num)
        for number, label in enumerate(classes):
            radius = int(rng.integers(6, 12))
            top, left = rng.integers(radius, height - radius), rng.integers(radius, width - radius)
            dy, dx = abs(y - top), abs(x - left)
            inside = np.maximum(dy, dx) < radius if label == 0 else dy**2 + dx**2 < radius**2
            owner[inside] = number
            photo[inside] = COLOURS[label] + rng.integers(-20, 20, 3)
        seen = [number for number in range(num) if (owner == number).sum() > 12]
        masks = [owner == number for number in seen]
        boxes = [[x[m].min(), y[m].min(), x[m].max() + 1, y[m].max() + 1] for m in masks]
        found = objects_of(
            self.size,
            boxes,
            classes[seen],
            masks if self.has_masks else None,
            [self.crowd] * len(seen),
        )
        return photo.clip(0, 255).astype(np.uint8), found
