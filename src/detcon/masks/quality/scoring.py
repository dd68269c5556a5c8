"""Scoring mask stores against annotations, photo by photo, in parallel."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np

from detcon.formats.errors import AnnotationError
from detcon.masks.quality.overlap import Bounds, Quality, Tally, measure, quality
from detcon.masks.quality.truth import TruthSource
from detcon.masks.store import MaskStore, StoreError
from detcon.workers import in_order

_PHOTOS_A_JOB = 8


@dataclass(frozen=True)
class StoreScore:
    """The measures of one store, for each photo and for all together."""

    store: MaskStore
    tallies: Mapping[str, Tally]  # of each photo, by its key
    not_annotated: tuple[str, ...] = ()  # photos without annotation, which aren't measured

    def quality(self) -> Quality:
        return quality(sum(self.tallies.values(), Tally()))


def score_stores(
    stores: Sequence[MaskStore],
    truth: TruthSource,
    *,
    num: int | None = None,
    bounds: Bounds | None = None,
    num_workers: int = 1,
) -> list[StoreScore]:
    """Measures stores on the photos that all of them and the truth have, and returns their scores.

    `num` photos are measured, drawn at random but always the same; None: all of them.
    """
    keys, not_annotated = common_keys(stores, truth)
    keys = draw_keys(keys, num)
    jobs = [keys[i : i + _PHOTOS_A_JOB] for i in range(0, len(keys), _PHOTOS_A_JOB)]
    work = partial(_score_photos, tuple(stores), truth, bounds or Bounds())
    tallies: list[dict[str, Tally]] = [{} for _ in stores]
    with closing(in_order(work, jobs, num_workers=min(num_workers, len(jobs)))) as results:
        for rows in results:
            for key, row in rows:
                for mine, tally in zip(tallies, row):
                    mine[key] = tally
    if not any(tally.labelled for tally in tallies[0].values()):
        raise AnnotationError(
            f"no region is marked in any of the {len(keys)} photos; check truth=, and ignore= and "
            f"background=, which say what counts in PNGs"
        )
    return [StoreScore(store, mine, not_annotated) for store, mine in zip(stores, tallies)]


def common_keys(
    stores: Sequence[MaskStore], truth: TruthSource
) -> tuple[list[str], tuple[str, ...]]:
    """The photos that all stores and the truth have, and those without annotation."""
    shared = [key for key in stores[0] if all(key in store for store in stores[1:])]
    if not shared:
        raise AnnotationError(
            f"the mask stores {', '.join(str(store.folder) for store in stores)} have no photo in "
            f"common; make them of the same photos"
        )
    keys = truth.annotated(shared)
    if not keys:
        raise AnnotationError(
            f"none of the {len(shared)} photos of {stores[0].folder} has an annotation there "
            f"(looked for {shared[0]}, for instance); annotations have the photos' own names, in "
            f"the same subfolders, and where a data set has several splits, split= says which"
        )
    known = set(keys)
    return keys, tuple(key for key in shared if key not in known)


def draw_keys(keys: list[str], num: int | None) -> list[str]:
    """`num` of the photos at random, always the same of the same photos; None for all.

    >>> draw_keys(["a", "b", "c", "d"], 2)
    ['a', 'c']
    """
    if num is None or num >= len(keys):
        return keys
    drawn = np.random.default_rng(0).permutation(len(keys))[:num]
    return [keys[i] for i in sorted(drawn.tolist())]


def _score_photos(
    stores: Sequence[MaskStore], truth: TruthSource, bounds: Bounds, keys: Sequence[str]
) -> list[tuple[str, list[Tally]]]:
    """Measures a few photos: each key with a tally for each store."""
    rows = []
    for key in keys:
        marked = truth[key]
        try:
            rows.append((key, [measure(store[key], marked, bounds) for store in stores]))
        except ValueError as error:
            if isinstance(error, StoreError) and key in str(error):
                raise
            raise AnnotationError(f"cannot score {key}: {error}") from error
    return rows
