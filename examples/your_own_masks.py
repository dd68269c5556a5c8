"""Bring masks from anywhere: a few lines make a generator, and the store takes it from there.

python examples/your_own_masks.py
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from detcon import MaskGenerator, Masks, make_scenes


@dataclass(frozen=True)
class BrightAndDark:
    """Two masks: what is brighter than the photo's median, and what isn't."""

    blur: float = 2.0

    def __call__(self, image: np.ndarray, key: str = "") -> Masks:
        grey = cv2.GaussianBlur(image, (0, 0), self.blur).mean(2)
        return Masks.from_labels((grey > np.median(grey)).astype(np.int32))


assert isinstance(BrightAndDark(), MaskGenerator)  # any callable of this shape is one

scenes = make_scenes(out="example-scenes", num=4, size=64)
for path in sorted(Path(scenes, "train", "images").glob("*.png"))[:3]:
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    masks = BrightAndDark()(image, path.name)
    areas = [f"{mask.mean():.0%}" for mask in masks.stack()]
    print(f"{path.name}: {masks.num_masks} masks that cover {', '.join(areas)}")
