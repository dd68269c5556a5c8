"""Classified photos, and their centre crops in batches."""

import functools
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import UInt8

from detcon.data.labelled.crops import LabelledBatch
from detcon.data.labelled.examples import Examples, LabelledData, LabelledSplit, keep, watched
from detcon.data.workers import make_ahead
from detcon.downstream.recipe import TaskSettings
from detcon.downstream.tasks.probes.classifier import centre_crop
from detcon.downstream.tasks.probes.recipe import CentreRecipe
from detcon.formats.format import ClassifiedPhotos
from detcon.formats.registry import open_classes

BATCH = 64


def open_photos_with_classes(settings: TaskSettings, channels: int) -> LabelledData:
    """Opens the training and the validation photos; labels are class numbers.

    Raises:
        AnnotationError: A part is missing.
    """
    train, val = (
        open_classes(settings.data, settings.format, split, channels=channels)
        for split in ("train", "val")
    )
    splits = [classified(photos, settings.size, channels) for photos in (train, val)]
    return LabelledData(*splits, names=train.names)


def classified(
    photos: ClassifiedPhotos, max_side: int | None = None, channels: int = 3
) -> LabelledSplit:
    """One split of classified photos."""
    return LabelledSplit(photos, _pair, keep, max_side, channels)


def centre_crops(
    examples: Examples, centre: CentreRecipe, *, title: str, workers: int = 0
) -> Iterator[LabelledBatch]:
    """All photos in batches, in order, under a progress bar.

    Raises:
        UnreadablePhoto: A photo is damaged.
    """
    whole = range(len(examples))
    places = [whole[start : start + BATCH] for start in whole[::BATCH]]
    make = functools.partial(_batch, examples, centre)
    yield from make_ahead(make, watched(places, title), workers=workers)


def _batch(examples: Examples, centre: CentreRecipe, places: range) -> LabelledBatch:
    chosen = [examples[place] for place in places]
    images = np.stack([centre_crop(example.image, centre) for example in chosen])
    return LabelledBatch(
        torch.from_numpy(images).permute(0, 3, 1, 2),
        torch.tensor([example.labels for example in chosen]),
        torch.tensor(places),
    )


def _pair(
    photos: ClassifiedPhotos, key: str, channels: int
) -> tuple[UInt8[np.ndarray, "y x c"], int]:
    return photos.photo(key, channels), photos.label(key)
