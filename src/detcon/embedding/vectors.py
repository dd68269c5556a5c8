"""The vectors of photos, of their regions, or of the cells of the encoder's grid."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from detcon.config import load_recipe
from detcon.embedding import EmbeddingError
from detcon.embedding.recipe import EmbedRecipe
from detcon.masks import Masks
from detcon.masks.store import MaskStore
from detcon.masks.store.resume import say_newer_photos
from detcon.models.backbone_file import Backbone, load_backbone
from detcon.models.dense_features import features_of_all
from detcon.photos import Photos, UnreadablePhoto, open_photos
from detcon.train.replica import open_replica

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Embedding:
    """The vector of a photo, a region or a cell.

    Attributes:
        key: The photo, as a path below the folder of photos.
        region: The id of the mask, or the number of the cell, row by row; 0 for a whole photo.
        box: Left, top, right and bottom, in pixels of the upright photo.
        vector: The mean of the backbone's features; those of regions are weighted by how much of
            each cell the region covers.
    """

    key: str
    region: int
    box: Box
    vector: Float[np.ndarray, " d"]


@dataclass(frozen=True)
class Source:
    """What embeddings are made of; `skipped` collects photos that gave none, with the reason."""

    recipe: EmbedRecipe
    photos: Photos
    backbone: Backbone
    store: MaskStore | None
    skipped: list[str] = field(default_factory=list)


def embeddings(
    recipe: str | Path | EmbedRecipe | None = None, /, **overrides: Any
) -> Iterator[Embedding]:
    """Yields the `Embedding` of each photo, region or cell, in the order of the photos.

    Photos that can't be read, or that have no masks, are left out.

    Args:
        recipe: A recipe, its YAML file or name, or None for the defaults.
        **overrides: Settings by name, those of `detcon embed`; `out` isn't used:
            `embeddings(backbone="b.safetensors", images="photos", of="regions", masks="masks")`.

    Raises:
        ValueError: A backbone, photos or masks that don't fit; the sentence says which.
    """
    source = open_source(load_recipe(EmbedRecipe, recipe, overrides))
    yield from embed_photos(source, source.photos.keys)


def open_source(recipe: EmbedRecipe) -> Source:
    """Opens backbone, photos and masks. Random weights are those of seed 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = load_backbone(recipe.backbone, encoder=recipe.encoder, stride=recipe.stride)
    photos = open_photos(recipe.images, backbone.recipe.in_channels)
    store = None if recipe.masks is None else MaskStore(recipe.masks)
    if store is not None and not any(key in store for key in photos.keys):
        raise EmbeddingError(
            f"the mask store {recipe.masks} knows none of the {len(photos)} photos of "
            f"{recipe.images}; give the folder that its masks were made of"
        )
    if store is not None:
        say_newer_photos(store, photos)
    backbone.encoder.to(open_replica("32", recipe.accelerator).device)
    return Source(recipe, photos, backbone, store)


def embed_photos(source: Source, keys: Sequence[str]) -> Iterator[Embedding]:
    """The embeddings of some photos, in their order; the next photos are read meanwhile."""
    for batch in _read_ahead(source, keys):
        masked = [(key, photo, _masks_of(source, key, photo)) for key, photo in batch]
        if source.store is not None:
            masked = [one for one in masked if one[2] is not None]
        photos = [photo for _, photo, _ in masked]
        grids = features_of_all(source.backbone, photos, side=source.recipe.side)
        for (key, photo, masks), grid in zip(masked, grids, strict=True):
            yield from _embed(source.recipe.of, key, photo.shape[:2], masks, grid)


def _read_ahead(
    source: Source, keys: Sequence[str]
) -> Iterator[list[tuple[str, UInt8[np.ndarray, "_ _ c"]]]]:
    """Batches of photos that can be read, which threads do."""
    size = source.recipe.batch_size
    with ThreadPoolExecutor(source.recipe.workers) as pool:

        def submit(start: int) -> list[tuple[str, Future[UInt8[np.ndarray, "_ _ c"]]]]:
            some = keys[start : start + size]
            return [(key, pool.submit(source.photos.read, key)) for key in some]

        waiting = submit(0)
        for start in range(0, len(keys), size):
            reading, waiting = waiting, submit(start + size)
            batch = []
            for key, photo in reading:
                try:
                    batch.append((key, photo.result()))
                except UnreadablePhoto as error:
                    source.skipped.append(str(error))
            yield batch


def _masks_of(source: Source, key: str, photo: UInt8[np.ndarray, "y x c"]) -> Masks | None:
    """The masks of a photo, if there are any; else None, and a reason where there should be."""
    if source.store is None:
        return None
    if key not in source.store or not (masks := source.store[key]).num_masks:
        source.skipped.append(f"{key} has no masks in {source.store.folder}")
        return None
    if masks.size != photo.shape[:2]:
        then, now = (" x ".join(map(str, size)) for size in (masks.size, photo.shape[:2]))
        raise EmbeddingError(
            f"the masks of {key} in {source.store.folder} are of a photo of {then} pixels, but "
            f"it has {now}; make them again with detcon masks"
        )
    return masks


def _embed(
    of: str,
    key: str,
    size: tuple[int, int],
    masks: Masks | None,
    features: Float[np.ndarray, "d h w"],
) -> Iterator[Embedding]:
    """What a photo of this height and width gives; `of` is photos, regions or cells."""
    channels, rows, columns = features.shape
    height, width = size
    if of == "photos":
        yield Embedding(key, 0, (0.0, 0.0, float(width), float(height)), features.mean((1, 2)))
    elif masks is None:
        tall, wide = height / rows, width / columns
        for number, vector in enumerate(features.reshape(channels, -1).T):
            top, left = (number // columns) * tall, (number % columns) * wide
            yield Embedding(key, number, (left, top, left + wide, top + tall), vector)
    else:
        for region, share, box in cell_shares(masks, (rows, columns)):
            vector = features.reshape(channels, -1) @ share / share.sum()
            yield Embedding(key, region, box, vector)


def cell_shares(
    masks: Masks, grid: tuple[int, int]
) -> Iterator[tuple[int, Float[np.ndarray, " cells"], Box]]:
    """For each mask that isn't empty: its id, the share of each cell that it covers, and its box.

    A pixel of the map counts for the cell that its centre lies in.
    """
    height, width = masks.patterns.shape
    rows, columns = ((np.arange(n) + 0.5) * m // n for n, m in zip((height, width), grid))
    cells = (rows[:, None] * grid[1] + columns).astype(np.intp)
    sizes = np.maximum(np.bincount(cells.ravel(), minlength=grid[0] * grid[1]), 1)
    tall, wide = masks.size[0] / height, masks.size[1] / width
    for region, mask in zip(masks.ids.tolist(), masks.stack()):
        if mask.any():
            share = np.bincount(cells[mask], minlength=len(sizes)) / sizes
            (top, bottom), (left, right) = (
                np.flatnonzero(mask.any(axis))[[0, -1]] for axis in (1, 0)
            )
            start = float(left * wide), float(top * tall)
            end = float((right + 1) * wide), float((bottom + 1) * tall)
            yield region, share.astype(np.float32), (*start, *end)
