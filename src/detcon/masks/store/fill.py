"""Filling a mask store: in parallel, across machines, and continued after an interruption."""

import shlex
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from detcon.config import load_recipe
from detcon.config.loading import changes
from detcon.formats.registry import find_format
from detcon.masks.masks import MaskGenerator, Masks
from detcon.masks.recipe import MasksRecipe, parse_share
from detcon.masks.sources import Displaced, Felzenszwalb, FromAnnotations, NetworkSource
from detcon.masks.store.header import (
    begin_store,
    describe,
    missing_shards,
    num_shards,
    shard_path,
    write_header,
)
from detcon.masks.store.index import merge_index
from detcon.masks.store.mask_store import MaskStore
from detcon.masks.store.resume import listed, other_photos, spans_left
from detcon.masks.store.shard import ShardRow, StoreError, pack, write_shard
from detcon.notes import counted, say
from detcon.photos import Photos, UnreadablePhoto, open_photos
from detcon.progress import ProgressBar
from detcon.workers import in_order, in_order_on_ray

_MOST_THREADS = 4  # 7 to 15 % of the time Python's lock is held: more threads would wait for it
_FEW_PHOTOS = 2000  # with fewer, processes (a tenth faster) don't earn back a second of start-up
_PHOTOS_A_JOB = 8  # more: workers end at different times; fewer: handing over costs time


@dataclass(frozen=True)
class MasksJob:
    """A few photos of one shard: the unit of work of a worker."""

    shard: int
    photos: Photos
    generator: MaskGenerator


def make_masks(recipe: str | Path | MasksRecipe | None = None, /, **overrides: Any) -> Path:
    """Makes the masks of all photos of a collection and writes them into a store.

    Called again after an interruption, it continues where it stopped. The bytes of the store
    don't depend on workers, shares or interruptions. Photos that can't be read are skipped, and
    listed at the end and in the store.

    A source that runs a network (`Clusters`, `SegmentAnything`) runs in this process: the network
    is opened once, on a GPU if there is one, and workers are threads that pass it one photo at a
    time. Another kind of device or another version of torch may round differently. Several GPUs
    each take a share of the work: `CUDA_VISIBLE_DEVICES=0 detcon masks ... shard=1/4`.

    Args:
        recipe: A recipe, its YAML file or name, or None for the defaults.
        overrides: Values to lay over it, as on the command line: `images`, `out`, `generator`,
            `engine`, `workers`, `shard`, `shard_size`, `check`.

    Returns:
        The store's folder, for `MaskStore`.

    Raises:
        RecipeError: If the recipe is wrong.
        PhotosError: If there are no photos.
        StoreError: If `out` holds something else: other masks, other photos, no store.
        ValueError: The source fails for a photo, or a network can't be opened.
    """
    settings = load_recipe(MasksRecipe, recipe, overrides)
    if not isinstance(settings.generator, NetworkSource):
        return _fill_store(settings)
    if settings.engine == "ray":
        raise ValueError(
            "a source that runs a network works on this machine alone; leave engine= out, and "
            "give each machine a share of the photos, as in shard=1/4"
        )
    from detcon.masks.sources.networks import one_thread  # imports torch

    generator = settings.generator.identified()
    with one_thread():
        return _fill_store(settings.model_copy(update={"generator": generator}))


def _fill_store(settings: MasksRecipe) -> Path:
    photos = open_photos(settings.images, settings.channels)
    folder = Path(settings.out)
    described = describe(settings.generator, photos, settings.shard_size)
    header = begin_store(folder, described, photos.keys)
    if others := other_photos(folder, header, photos):
        raise StoreError(f"{others}; give another out=, or delete {folder} to make it again")
    _fill(folder, header, settings, photos)
    if missing := len(missing_shards(folder, header)):
        say(
            f"this share is done; other shares have to make {missing} of {num_shards(header)} "
            "shards"
        )
        return folder
    try:
        unreadable = merge_index(folder, header)
    except StoreError as error:
        if not (settings.check and settings.shard):
            raise
        say(f"this share is done; another is not: {error}")
        return folder
    if "marks" in header and header["marks"] != described["marks"]:  # some were repaired
        write_header(folder, header | {"marks": described["marks"]})
    _list_unreadable(folder, unreadable, len(photos))
    _list_empty(folder, settings.generator)
    _count_masks(folder, settings)
    return folder


def make_rows(job: MasksJob) -> tuple[int, list[ShardRow]]:
    """Makes the masks of a few photos: the number of their shard, and a row for each photo."""
    rows = []
    for key in job.photos:
        try:
            photo = job.photos.read(key)
        except UnreadablePhoto as error:
            rows.append(ShardRow(key, reason=str(error)))
        else:
            rows.append(ShardRow(key, *pack(_generate(job.generator, photo, key))))
    return job.shard, rows


def _fill(folder: Path, header: dict[str, Any], settings: MasksRecipe, photos: Photos) -> None:
    """Makes the missing shards of this share, in order."""
    share, shares = parse_share(settings.shard or "1/1")
    size = header["shard_size"]
    mine = {
        number: range(number * size, min((number + 1) * size, len(photos)))
        for number in range(share - 1, num_shards(header), shares)
    }
    total = sum(map(len, mine.values()))
    spans = spans_left(mine, folder, header["fingerprint"], photos, settings)
    if spans:
        _check_annotated(settings.generator, photos)
    jobs = (
        MasksJob(
            number, photos.part(start, min(start + _PHOTOS_A_JOB, span.stop)), settings.generator
        )
        for number, span in spans.items()
        for start in span[::_PHOTOS_A_JOB]
    )
    left = sum(map(len, spans.values()))
    results = _in_order(settings, jobs, left)
    with ProgressBar("masks", total, done=total - left, words="photos") as bar, closing(results):
        rows: list[ShardRow] = []
        for number, made in results:
            rows += made
            bar.advance(len(made))
            if len(rows) == len(spans[number]):
                write_shard(shard_path(folder, number), rows, header["fingerprint"])
                rows = []


def _in_order(
    settings: MasksRecipe, jobs: Iterable[MasksJob], num_photos: int
) -> Generator[tuple[int, list[ShardRow]], None, None]:
    """The rows of all jobs, in their order, from the chosen engine and workers.

    Workers are threads where a network runs, or there are few photos and workers; else processes.
    """
    if settings.engine == "ray":
        return in_order_on_ray(make_rows, jobs)
    workers = max(1, min(settings.workers, -(-num_photos // _PHOTOS_A_JOB)))
    few = workers <= _MOST_THREADS and num_photos < _FEW_PHOTOS
    threads = few or isinstance(settings.generator, NetworkSource)
    return in_order(make_rows, jobs, num_workers=workers, threads=threads)


def _generate(generator: MaskGenerator, photo: UInt8[np.ndarray, "y x c"], key: str) -> Masks:
    try:
        return generator(photo, key)
    except ValueError as error:
        if key in str(error):
            raise
        raise StoreError(f"cannot make the masks of {key}: {error}") from error


def _list_unreadable(folder: Path, unreadable: dict[str, str], num_photos: int) -> None:
    if len(unreadable) == num_photos:
        reason = next(iter(unreadable.values()))
        raise StoreError(f"none of the {num_photos} photos could be read; the first: {reason}")
    for reason in list(unreadable.values())[:10]:
        say(reason)
    if unreadable:
        listed = folder / "unreadable.json"
        say(f"skipped {len(unreadable)} of {num_photos} photos; all are listed in {listed}")


def _check_annotated(generator: MaskGenerator, photos: Photos) -> None:
    """Reports photos without annotation before the first mask is made."""
    source = generator.annotations if isinstance(generator, Displaced) else generator
    if isinstance(source, FromAnnotations) and (without := source.not_annotated(photos.keys)):
        are = "photos are" if len(without) > 1 else "photos is"
        say(
            f"{len(without)} of {len(photos)} {are} not annotated in {source.folder}: "
            f"{listed(without)}"
        )


def _list_empty(folder: Path, generator: MaskGenerator) -> None:
    """Reports photos without masks; raises where no photo has one."""
    store = MaskStore(folder)
    empty = store.empty()
    if empty and len(empty) == len(store):
        hint = "check its settings"
        if isinstance(generator, FromAnnotations | Displaced):
            hint = "check the annotations"
            if find_format(generator.format).takes("ignore"):
                hint += f" (generator.ignore={generator.ignore} is void, 0 is background)"
            if generator.missing == "none":
                hint = "missing=none hides photos whose names match no annotation: check the names"
        raise StoreError(
            f"generator.kind={store.header['generator']['kind']} found no mask in any of the "
            f"{len(store)} photos, and there is nothing to learn from; {hint}, then give another "
            f"out=, or delete {folder}"
        )
    if empty:
        have = "photos have" if len(empty) > 1 else "photos has"
        say(f"{len(empty)} of {len(store)} {have} no mask: {listed(empty)}")


def _count_masks(folder: Path, settings: MasksRecipe) -> None:
    """Says how many there are, and where the settings are too coarse for the photos."""
    generator, store = settings.generator, MaskStore(folder)
    say(f"{counted(len(store), 'photo')}, {store.mean_masks():.1f} masks each on average")
    if not isinstance(generator, Felzenszwalb):
        return
    single = len(store.single())
    if single > len(store) / 2:
        finer = replace(
            generator, scale=generator.scale / 10, min_size=max(1, generator.min_size // 10)
        )
        again = settings.model_copy(update={"out": f"{folder}_finer", "generator": finer})
        say(
            f"{single} of {len(store)} photos have a single mask, and no region in them is told "
            f"from another; for finer ones give masks={folder}_finer after: "
            f"{shlex.join(['detcon', 'masks', *changes(again)])}"
        )
