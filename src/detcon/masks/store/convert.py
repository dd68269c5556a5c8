"""Converting a mask store for other programs: to PNG files, COCO's JSON, or TFRecords.

`FromAnnotations(out, format="png")`, or "coco", or "tfrecord", reads the result back.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import detcon
from detcon.config import load_recipe
from detcon.files import write_whole
from detcon.formats.coco.masks import FILE, describe_photos, write_coco
from detcon.formats.png import check_names, write_pngs
from detcon.formats.tfrecord.masks import plan_files, write_records
from detcon.masks.recipe import ConvertRecipe
from detcon.masks.store import MaskStore
from detcon.masks.store.resume import say_newer_photos
from detcon.masks.store.shard import StoreError
from detcon.notes import say
from detcon.photos import Names, Photos, check_outside, open_photos
from detcon.progress import with_progress
from detcon.workers import in_order

_RECORD = "conversion.json"
_PHOTOS_A_JOB = 64
_OFFICIAL = {"train": 2048, "validation": 256}

Job = TypeVar("Job")
Result = TypeVar("Result")


def convert_masks(recipe: str | Path | ConvertRecipe | None = None, /, **overrides: Any) -> Path:
    """Writes the masks of a store, at the size of their photos, in another format.

    Called again after an interruption, it continues where it stopped.

    Args:
        recipe: A recipe, its YAML file or name, or None for the defaults.
        overrides: Values to lay over it, as on the command line.

    Returns:
        The folder; for coco, the JSON file in it.

    Raises:
        RecipeError: If the recipe is wrong.
        StoreError: There is no such store, or `out` holds something else.
        FormatError: The format can't hold these masks; the message names the photo.
        PhotosError: There are no photos, for tfrecord; or PNGs would lie among the photos.
    """
    settings = load_recipe(ConvertRecipe, recipe, overrides)
    store, out = MaskStore(settings.masks), Path(settings.out)
    keys = store.keys()
    parts = [keys[start : start + _PHOTOS_A_JOB] for start in range(0, len(keys), _PHOTOS_A_JOB)]
    source = settings.images or store.header["source"]
    named = Names(keys, str(Path(source).parent))  # a list's keys alone lead elsewhere
    if settings.to == "png":
        check_names(keys, named)
        check_outside(out, source)
    photos = None
    if settings.to == "tfrecord":  # whose records hold the photos too
        photos = replace(open_photos(source), keys=keys)
    _begin(out, settings, store, photos)
    if settings.to == "png":
        written = sum(_results(partial(write_pngs, store, out, named), parts, settings.workers))
        _say_if_all_there(written, out)
        return out
    if photos is None:
        if is_new := not (out / FILE).exists():
            described = _results(partial(describe_photos, store), parts, settings.workers)
            write_coco(out / FILE, chain.from_iterable(described))
        _say_if_all_there(is_new, out)
        return out / FILE
    say_newer_photos(store, photos)
    num_files = settings.num_files or _OFFICIAL[settings.split]
    files = plan_files(store, photos, out, settings.split, num_files)
    _say_if_all_there(sum(_results(write_records, files, settings.workers)), out)
    return out


def _say_if_all_there(written: int, out: Path) -> None:
    if not written:
        say(f"all files of {out} were there already, of the same masks")


def _begin(out: Path, settings: ConvertRecipe, store: MaskStore, photos: Photos | None) -> None:
    """Makes the folder, or checks that a conversion with the same settings began there."""
    wanted = {
        "to": settings.to,
        "masks": store.header["fingerprint"],
        "num_photos": len(store),
        "split": settings.split,
        "num_files": settings.num_files,
        "content": f"{crc32((store.folder / 'index.arrow').read_bytes()):08x}",
    }
    if photos is not None:
        wanted["photos"] = photos.digest()
    path = out / _RECORD
    holds = [one.name for one in out.iterdir()] if out.is_dir() else [""] if out.exists() else []
    if path.is_file() and holds != [_RECORD]:  # else nothing is written yet
        try:
            found = json.loads(path.read_text())
        except ValueError:
            found = {}
        later = {name: wanted[name] for name in ("content", "photos") if name in wanted}
        found = later | found  # not recorded by earlier versions
        other = [name for name, value in wanted.items() if found.get(name) != value]
        if other == ["photos"] and photos is not None:
            raise StoreError(
                f"the folder {out} holds other photos than those of {photos.source} now; give "
                "another out=, or remove the folder"
            )
        if other == ["content"]:
            raise StoreError(
                f"the folder {out} holds masks of an earlier content of {store.folder}; give "
                "another out=, or remove the folder"
            )
        if other:
            raise StoreError(
                f"the folder {out} holds masks written with {other[0]}={found.get(other[0])}, not "
                f"{wanted[other[0]]}; give another out=, or remove the folder"
            )
        return
    if holds not in ([], [_RECORD]):
        raise StoreError(f"cannot write masks to {out}: it holds something else; give another out=")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(wanted | {"detcon": detcon.__version__}, indent=1))


def _results(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """The result of each job, in order, with a progress bar on a terminal."""
    results = in_order(work, jobs, num_workers=max(1, min(workers, len(jobs))))
    with closing(results):
        yield from with_progress(results, "masks", len(jobs))
