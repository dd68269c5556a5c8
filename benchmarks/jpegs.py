"""Pictures to measure with, anywhere: as many bytes and masks as photographs of their size have."""

from pathlib import Path

import cv2
import numpy as np

from detcon.data.dataset import PhotoViews
from detcon.data.recipe import COLOUR_PRESETS, ViewsRecipe
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.models.encoders import build_encoder, feature_grid
from detcon.models.recipe import EncoderRecipe
from detcon.photos import Photos, open_photos


def make_photos(folder: Path, size: tuple[int, int], num: int) -> tuple[Photos, MaskStore]:
    """Draws ellipses on smooth noise, and finds their masks.

    Args:
        folder: A new one for both.
        size: Height and width.
        num: How many.
    """
    rng, (height, width) = np.random.default_rng(0), size
    (folder / "images").mkdir(parents=True)
    for number in range(num):
        photo = np.zeros((*size, 3), np.float32) + rng.uniform(60, 190, 3)
        for sigma, strength in ((40, 60), (8, 40), (1.5, 25)):
            noise = rng.normal(size=(*size, 3)).astype(np.float32)
            noise = cv2.GaussianBlur(noise, (0, 0), sigma * height / 375)
            photo += strength * noise / noise.std()
        for _ in range(20):
            centre = (int(rng.integers(width)), int(rng.integers(height)))
            axes = tuple(int(n) for n in rng.uniform(height / 25, height / 5, 2))
            shape = cv2.ellipse(np.zeros(size), centre, axes, rng.uniform(0, 180), 0, 360, 1, -1)
            colour = 0.35 * photo + 0.65 * rng.uniform(0, 255, 3)
            photo = np.where(shape[..., None] > 0, colour, photo)
        photo = (photo + rng.normal(size=photo.shape) * 4).clip(0, 255).astype(np.uint8)
        cv2.imwrite(f"{folder}/images/{number:03}.jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 95])
    images, masks = f"{folder}/images", f"{folder}/masks"
    recipe = {"kind": "felzenszwalb", "scale": 300, "min_size": 300}
    make_masks(images=images, out=masks, generator=recipe, workers=1)
    return open_photos(images), MaskStore(masks)


def our_views(
    photos: Photos, store: MaskStore, size: int, colour: str = "detcon_s", place: str = "JPEG"
) -> PhotoViews:
    """As a run has them: two views, 16 regions, the grid of a ResNet."""
    changes, reduced = COLOUR_PRESETS[colour], place == "JPEG, reduced"
    recipe = ViewsRecipe(size=size, colour=changes, reduced_decode=reduced)
    grid = feature_grid(build_encoder(EncoderRecipe(name="resnet18")), size)
    dataset = PhotoViews(photos, store, recipe, grid=grid, seed=0, cache=place == "memory")
    dataset.keep_in_memory()
    return dataset
