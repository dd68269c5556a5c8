"""Bring masks from anywhere: a function of a photo is enough, and the store takes it from there.

python examples/your_own_masks.py
"""

from functools import partial

import cv2
import numpy as np

from detcon import MaskStore, make_masks, make_scenes


def bright_and_dark(image: np.ndarray, blur: float = 1.0) -> np.ndarray:
    """Two masks, as ids [y x]: what is brighter than the photo's median, and what isn't."""
    grey = cv2.GaussianBlur(image, (0, 0), blur).mean(2)
    return (grey > np.median(grey)).astype(np.int32)


scenes = make_scenes(out="example-scenes", num=4, size=64)
folder = make_masks(
    images=scenes / "train/images",
    out="example-masks",
    generator=partial(bright_and_dark, blur=2.0),
    workers=1,
)
store = MaskStore(folder)
print("made by", store.header["generator"])
for key in store:
    masks = store[key]
    areas = [f"{mask.mean():.0%}" for mask in masks.stack()]
    print(f"{key}: {masks.num_masks} masks that cover {', '.join(areas)}")
