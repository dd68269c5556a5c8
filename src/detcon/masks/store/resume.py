"""Going on with a mask store: what is left to be made, and what is older than what it shows."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from detcon.masks.masks import MaskGenerator
from detcon.masks.recipe import MasksRecipe
from detcon.masks.store.header import shard_path
from detcon.masks.store.mask_store import MaskStore, read_unreadable
from detcon.masks.store.shard import DamagedShard, read_footer
from detcon.notes import note, say
from detcon.photos import Photos, UnreadablePhoto

_LOOKED_AT = 20_000  # photos: a tenth of a second


def spans_left(
    spans: dict[int, range], folder: Path, fingerprint: str, photos: Photos, settings: MasksRecipe
) -> dict[int, range]:
    """The shards that are missing or, with `check`, damaged or older than what they show.

    Reports masks that are older than their photos, or than the annotations, contour maps or ranker
    that they were made from. `spans` are the photos of each shard.
    """
    there = {number: shard_path(folder, number) for number in spans}
    there = {number: path for number, path in there.items() if path.exists()}
    source = _newest_source(settings.generator) if there else None
    newer, older = list[str](), list[str]()
    left = dict(spans)
    repaired = _repaired(folder, photos) if there else ()
    for number, path in there.items():
        part = photos.part(spans[number].start, spans[number].stop)
        if able := sorted(set(part.keys).intersection(repaired)):
            say(f"{path}: {listed(able)} can be read now; its photos are done again")
            continue
        if settings.check and not _is_good(path, part, fingerprint, source):
            continue
        newer += part.newer_than(_written(path))
        older += part.keys if _written(source) > _written(path) else []
        del left[number]
    again = "after a change, give --check to make these masks again"
    if newer:
        say(f"{_num_newer(newer)} than their masks: {listed(newer)}; {again}")
    if older:
        say(f"{source} is newer than the masks of {len(older)} photos made from it; {again}")
    if not (newer or older or left):
        say(f"all {sum(map(len, spans.values()))} photos had their masks already")
    return left


def say_newer_photos(store: MaskStore, photos: Photos) -> None:
    """Says that photos are newer than their masks, or are others, for commands that use both.

    Of a larger collection 20,000 photos are looked at: on a network a million would take minutes.
    """
    if others := other_photos(store.folder, store.header, photos):
        note(f"{others}; unless they are the same pictures saved again, make masks of these photos")
    some = photos.keys[:: -(-len(photos) // _LOOKED_AT)]
    shards = {key: store.shard_of(key) for key in some}
    made = {path: _written(path) for path in {*shards.values()}}
    newer = [key for key, path in shards.items() if path and photos.written(key) > made[path]]
    if newer:
        looked_at = "" if len(some) == len(photos) else f" (of {len(some)} that were looked at)"
        note(
            f"{_num_newer(newer)} than their masks in {store.folder}{looked_at}: {listed(newer)}; "
            f"if the pictures changed, give the command that made the masks again, with --check"
        )


def other_photos(folder: Path, header: Mapping[str, Any], photos: Photos) -> str:
    """Says that photos aren't those that a store was made of, though they have their names.

    They are no newer than the store and have other content. "" where there are none, and for
    stores of earlier versions. Photos that couldn't be read may have been repaired.
    """
    begun, unreadable = _written(folder / "header.json"), read_unreadable(folder)
    marks = {key: photos.mark(key) for key in header.get("marks", {})}
    others = [
        key
        for key, mark in marks.items()
        if mark not in ("", header["marks"][key])
        and photos.written(key) <= begun
        and key not in unreadable
    ]
    if not others:
        return ""
    return (
        f"of {len(marks)} photos of {photos.source} that were looked at, {len(others)} "
        f"{'is' if len(others) == 1 else 'are'} not what the masks in {folder} were made of, the "
        f"first is {others[0]}"
    )


def _repaired(folder: Path, photos: Photos) -> list[str]:
    """The photos that the store lists as unreadable, but that can be read now."""
    found = []
    for key in read_unreadable(folder):
        with suppress(UnreadablePhoto):
            photos.read(key)
            found.append(key)
    return found


def _is_good(path: Path, part: Photos, fingerprint: str, source: Path | None) -> bool:
    """Whether a shard is whole, and newer than what it was made of; prints what is wrong."""
    try:
        if read_footer(path, fingerprint)["key"].to_pylist() != list(part.keys):
            raise DamagedShard(path, "it holds other photos")
    except DamagedShard as error:
        say(f"{path}: {error.what}; its photos are done again")
        return False
    if newer := part.newer_than(_written(path)):
        say(f"{path}: {_num_newer(newer)}; its photos are done again")
    if older := _written(source) > _written(path):
        say(f"{path}: {source} is newer; its photos are done again")
    return not (newer or older)


def _newest_source(generator: MaskGenerator) -> Path | None:
    """The newest of the files that a generator reads besides the photos."""
    given = [getattr(generator, name, None) for name in ("folder", "contours", "ranker")]
    found: list[Path] = []
    for top in (Path(one) for one in given if one):
        found += [top] if top.is_file() else []
        for folder, _, names in os.walk(top, followlinks=True):
            found += [Path(folder, name) for name in names if not name.startswith(".")]
    return max(found, key=_written, default=None)


def _written(path: Path | None) -> float:
    """When a file was written; 0 if there is none."""
    try:
        return path.stat().st_mtime if path else 0.0
    except OSError:
        return 0.0


def _num_newer(keys: Sequence[str]) -> str:
    return "1 photo is newer" if len(keys) == 1 else f"{len(keys)} photos are newer"


def listed(keys: Sequence[str]) -> str:
    """`a.jpg, b.jpg, c.jpg and 61 more`."""
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(keys[:3]) + more
