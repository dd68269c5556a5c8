"""The photo or region whose nearest embeddings are asked for."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from detcon.embedding import EmbeddingError
from detcon.embedding.vectors import Box, Source, cell_shares
from detcon.photos import decode

Region = tuple[int, Box]
_MOST_LISTED = 6  # regions of a photo, in a message


def read_asked(source: Source) -> tuple[str | None, UInt8[np.ndarray, "y x c"], list[Region]]:
    """Reads the photo `near`, and checks that it has the `region` that is asked for.

    Returns:
        Its key, or None for a photo that isn't of the collection; its pixels; the ids and boxes of
        its regions, for `of=regions`.

    Raises:
        ValueError: There is no such photo or region, or the photo can't be read.
    """
    recipe, near = source.recipe, str(source.recipe.near)
    key = _key_of(source, near)
    photo = source.photos.read(key) if key else _read(near, source.photos.channels)
    store = source.store
    masks = store[key] if key and store is not None and key in store else None
    regions = [(number, box) for number, _, box in cell_shares(masks, (1, 1))] if masks else []
    if recipe.region is not None and recipe.region not in [number for number, _ in regions]:
        raise EmbeddingError(f"near={near} {_lacking(source, key, regions)}")
    return key, photo, regions


def _lacking(source: Source, key: str | None, regions: Sequence[Region]) -> str:
    recipe = source.recipe
    if regions:
        return f"has no region {recipe.region}; give {listed(regions)}"
    if key is None:
        return (
            f"is no photo of images={recipe.images}, so that its regions aren't known; give one "
            f"that is, or leave region= out"
        )
    return (
        f"has no masks in masks={recipe.masks}; give a photo of images={recipe.images} that has "
        f"some, or leave region= out"
    )


def listed(regions: Sequence[Region]) -> str:
    """The largest regions first, with the middles of their boxes."""

    def area(region: Region) -> float:
        left, top, right, bottom = region[1]
        return (right - left) * (bottom - top)

    return ", ".join(
        f"region={number} (around {(box[0] + box[2]) / 2:.0f}, {(box[1] + box[3]) / 2:.0f})"
        for number, box in sorted(regions, key=area, reverse=True)[:_MOST_LISTED]
    )


def _key_of(source: Source, near: str) -> str | None:
    """The key of a photo of the collection, given as its path or its key; None for others.

    A path that is there is meant, also where a photo of the collection has it for its key.
    """
    photos = source.photos
    below = os.path.relpath(os.path.realpath(near), os.path.realpath(photos.root))
    names = [Path(below).as_posix()]
    if photos.members is not None or not os.path.exists(near):
        names.append(near)
    known = set(photos.keys)
    return next((one for one in names if one in known), None)


def _read(path: str, channels: int) -> UInt8[np.ndarray, "y x c"]:
    try:
        return decode(Path(path).read_bytes(), path, channels=channels)
    except OSError as error:
        raise EmbeddingError(
            f"cannot read near={path}: {(error.strerror or '').lower()}; give the path of a photo"
        ) from error
