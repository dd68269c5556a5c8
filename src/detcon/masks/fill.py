"""Filling a mask store: in parallel, across machines, and on from where it stopped."""

import sys
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import BeforeValidator, Field, field_validator

from detcon.config import Recipe, load_recipe
from detcon.masks.annotations import FromAnnotations
from detcon.masks.displaced import Displaced
from detcon.masks.entry import pack
from detcon.masks.felzenszwalb import Felzenszwalb
from detcon.masks.from_callable import FromCallable, by_name
from detcon.masks.grid import Grid
from detcon.masks.header import begin_store, describe, missing_shards, num_shards, shard_path
from detcon.masks.masks import MaskGenerator, Masks
from detcon.masks.mcg.generator import MCG, MCGFull
from detcon.masks.shard import DamagedShard, Row, StoreError, read_footer, write_shard
from detcon.masks.slic import Slic
from detcon.masks.store import merge_index
from detcon.masks.whole_image import WholeImage
from detcon.photos import Photos, UnreadablePhoto, open_photos
from detcon.progress import ProgressBar
from detcon.workers import in_order, in_order_on_ray, num_cores

AnyGenerator = (
    WholeImage
    | Grid
    | Felzenszwalb
    | Slic
    | MCG
    | MCGFull
    | FromAnnotations
    | Displaced
    | FromCallable
)
BY_KIND = Field(discriminator="kind"), BeforeValidator(by_name)
"""How a recipe's field tells generators apart; a function stands for `FromCallable`."""

_MOST_THREADS = 4  # 7 to 15 % of a photo's time holds Python's lock, so that many wait for it
_FEW_PHOTOS = 2000  # processes, up to a tenth quicker with two, take a second more to begin
_PHOTOS_A_JOB = 8  # enough to make handing over cheap, few enough for all workers to end together


class MasksRecipe(Recipe):
    """How to make the masks of a collection of photos."""

    images: str = Field(
        description="a folder of photos, a list of them (.txt, .csv, .parquet), or tars"
    )
    out: str = Field(description="the folder of the store to make, or to go on with")
    channels: int = Field(default=3, ge=1, description="3: RGB; 1: grey; else bands of the files")
    generator: Annotated[AnyGenerator, *BY_KIND] = Field(
        default=Felzenszwalb(), description="where the masks come from"
    )
    engine: Literal["local", "ray"] = Field(
        default="local", description="this machine, or all cores of a cluster of Ray"
    )
    workers: int = Field(
        default_factory=num_cores, ge=1, description="photos at once on this machine"
    )
    shard: str | None = Field(
        default=None, description="do only this share of the work, as in 3/64"
    )
    shard_size: int = Field(default=256, ge=1, description="photos in a file of the store")
    check: bool = Field(
        default=False, description="look through what is there, and make damaged shards anew"
    )

    @field_validator("shard")
    @classmethod
    def _is_share(cls, shard: str | None) -> str | None:
        if shard is not None:
            parse_share(shard)
        return shard


@dataclass(frozen=True)
class Job:
    """A few photos of one shard: what a worker is handed at a time."""

    shard: int
    photos: Photos
    generator: MaskGenerator


def make_masks(recipe: str | Path | MasksRecipe | None = None, /, **overrides: Any) -> Path:
    """Makes the masks of all photos of a collection, once, into a store.

    Given again after an interruption, it goes on where it stopped; the bytes of the store are
    the same whatever the number of workers, shares or interruptions. Photos that can't be read
    are skipped, and listed at the end and in the store.

    Args:
        recipe: A recipe, or the path of one, or None for the defaults.
        overrides: Values to lay over it, as on the command line: `images`, `out`, `generator`,
            `engine`, `workers`, `shard`, `shard_size`, `check`.

    Returns:
        The store's folder, for `MaskStore`.

    Raises:
        RecipeError: If the recipe is wrong.
        PhotosError: If there are no photos.
        StoreError: If `out` holds something else: other masks, other photos, no store.
        ValueError: What the generator says of a photo it can't do; the sentence names the photo.
    """
    if isinstance(recipe, MasksRecipe):
        recipe, overrides = None, {**recipe.model_dump(mode="json"), **overrides}
    return fill_store(load_recipe(MasksRecipe, recipe, overrides))


def fill_store(settings: MasksRecipe, *, threads: bool | None = None) -> Path:
    """Does what `make_masks` says, by a recipe that is complete.

    Args:
        settings: The recipe.
        threads: Whether workers are threads, and not processes. None: up to four of them are,
            where there are few photos.
    """
    photos = open_photos(settings.images, settings.channels)
    folder = Path(settings.out)
    header = begin_store(folder, describe(settings.generator, photos, settings.shard_size))
    _fill(folder, header, settings, photos, threads)
    missing = len(missing_shards(folder, header))
    if missing:
        say = f"this share is done; {missing} of {num_shards(header)} shards are left to others"
        print(say, file=sys.stderr)
        return folder
    try:
        unreadable = merge_index(folder, header)
    except StoreError as error:
        if not (settings.check and settings.shard):
            raise
        print(f"this share is done; another's is not: {error}", file=sys.stderr)
        return folder
    _list_unreadable(folder, unreadable, len(photos))
    return folder


def make_rows(job: Job) -> tuple[int, list[Row]]:
    """Makes the masks of a few photos.

    Returns:
        The number of their shard, and a row for each photo.

    Raises:
        ValueError: If the generator can't do a photo; the sentence names it.
    """
    rows = []
    for key in job.photos:
        try:
            photo = job.photos.read(key)
        except UnreadablePhoto as error:
            rows.append(Row(key, reason=str(error)))
        else:
            rows.append(Row(key, *pack(_generate(job.generator, photo, key))))
    return job.shard, rows


def parse_share(shard: str) -> tuple[int, int]:
    """`"3/64"` as (3, 64): the third of sixty-four shares."""
    share, _, shares = shard.partition("/")
    if not (share.isdecimal() and shares.isdecimal() and 1 <= int(share) <= int(shares)):
        raise ValueError("a share of the work is written from 1/64 to 64/64")
    return int(share), int(shares)


def _fill(
    folder: Path,
    header: dict[str, Any],
    settings: MasksRecipe,
    photos: Photos,
    threads: bool | None,
) -> None:
    """Makes the missing shards of this share, in order."""
    share, shares = parse_share(settings.shard or "1/1")
    size, fingerprint = header["shard_size"], header["fingerprint"]
    spans = {
        number: range(number * size, min((number + 1) * size, len(photos)))
        for number in range(share - 1, num_shards(header), shares)
    }
    total = sum(map(len, spans.values()))
    for number, span in list(spans.items()):
        path = shard_path(folder, number)
        if path.exists() and not (
            settings.check and _is_damaged(path, photos.part(span.start, span.stop), fingerprint)
        ):
            del spans[number]
    jobs = (
        Job(number, photos.part(start, min(start + _PHOTOS_A_JOB, span.stop)), settings.generator)
        for number, span in spans.items()
        for start in span[::_PHOTOS_A_JOB]
    )
    left = sum(map(len, spans.values()))
    results = _in_order(settings, jobs, left, threads)
    with ProgressBar("masks", total, done=total - left, words="photos") as bar, closing(results):
        rows: list[Row] = []
        for number, made in results:
            rows += made
            bar.advance(len(made))
            if len(rows) == len(spans[number]):
                write_shard(shard_path(folder, number), rows, fingerprint)
                rows = []


def _in_order(
    settings: MasksRecipe, jobs: Iterable[Job], num_photos: int, threads: bool | None
) -> Generator[tuple[int, list[Row]], None, None]:
    """The rows of all jobs, in their order, by the engine and workers that were asked for."""
    if settings.engine == "ray":
        return in_order_on_ray(make_rows, jobs)
    workers = max(1, min(settings.workers, -(-num_photos // _PHOTOS_A_JOB)))
    if threads is None:
        threads = workers <= _MOST_THREADS and num_photos < _FEW_PHOTOS
    return in_order(make_rows, jobs, num_workers=workers, threads=threads)


def _is_damaged(path: Path, part: Photos, fingerprint: str) -> bool:
    """Looks through a shard, and says what is wrong with it."""
    try:
        if read_footer(path, fingerprint)["key"].to_pylist() != list(part.keys):
            raise DamagedShard(path, "it holds other photos")
    except DamagedShard as error:
        print(f"{path}: {error.what}; its photos are done anew", file=sys.stderr)
        return True
    return False


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
        print(reason, file=sys.stderr)
    if unreadable:
        print(
            f"skipped {len(unreadable)} of {num_photos} photos; all are listed in "
            f"{folder / 'unreadable.json'}",
            file=sys.stderr,
        )
