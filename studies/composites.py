"""How many objects of composites do two views share? Counted without training.

detcon scenes out=comp num=64 size=160 cutouts=CUTOUTS backgrounds=PHOTOS
python studies/composites.py data=comp
"""

import sys
from pathlib import Path

import numpy as np

from detcon import MaskStore, make_masks
from detcon.config import parse_overrides
from detcon.data.dataset import PhotoViews
from detcon.data.views import ViewsRecipe
from detcon.photos import open_photos

REGIMES = ((80, 5, "hard"), (80, 5, "soft"), (80, 10, "hard"), (160, 20, "hard"))
BACKGROUND, EPOCHS = 0, 4


def count(views: PhotoViews) -> tuple[float, float, float]:
    """Objects drawn a view, those that the other view draws too, and cells an object (median)."""
    drawn, shared, cells = [], [], []
    for epoch in range(EPOCHS):
        for index in range(len(views)):
            sample = views[epoch, index]
            objects = [set(ids.tolist()) - {BACKGROUND} for ids in sample.ids]
            drawn += [len(one) for one in objects]
            shared.append(len(objects[0] & objects[1]))
            for ids, weights, found in zip(sample.ids, sample.weights, objects, strict=True):
                cells += [weights[ids.tolist().index(i)].sum() for i in found]
    return float(np.mean(drawn)), float(np.mean(shared)), float(np.median(cells))


def main() -> None:
    data = Path(parse_overrides(sys.argv[1:])["data"])
    images = data / "train" / "images"
    folder = str(data / "train" / "instances")
    truth = {"kind": "annotations", "folder": folder, "background": True, "ignore": None}
    store = MaskStore(make_masks(images=images, out=f"{data}-true-masks", generator=truth))
    photos = open_photos(images)
    print(f"{np.mean([store[key].num_masks for key in photos.keys]):.1f} masks a photo")
    titles = ("view", "grid", "pooling", "objects a view", "also in the other", "cells an object")
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|")
    for size, grid, pooling in REGIMES:
        recipe = ViewsRecipe(size=size, pooling=pooling)
        figures = count(PhotoViews(photos, store, recipe, grid=(grid, grid), seed=0))
        row = " | ".join(f"{figure:.2f}" for figure in figures)
        print(f"| {size} px | {grid} x {grid} | {pooling} | {row} |")


if __name__ == "__main__":
    main()
