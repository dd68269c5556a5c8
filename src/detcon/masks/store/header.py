"""The header of a mask store: generator, parameters, photos, format.

The header is written first, and decides whether a later command may continue the store.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import detcon
from detcon.config import fingerprint, shown
from detcon.files import copy_again, write_whole
from detcon.masks.masks import LATER
from detcon.masks.store.shard import StoreError, read_footer
from detcon.photos import Photos

FORMAT = 1


def describe(generator: Any, photos: Photos, shard_size: int) -> dict[str, Any]:
    """The header of a store of `generator`'s masks of `photos`.

    Its fingerprint covers all that the masks depend on: the generator, its `revision` if it has
    one (revision 1 isn't recorded), the photos' names, the shard size and the channels.
    """
    keys = digest_of_keys(photos.keys)
    masks: dict[str, Any] = {
        "generator": _recorded(generator),
        "shard_size": shard_size,
        "keys": keys,
    }
    if photos.channels != 3:  # stores of RGB leave it out
        masks["channels"] = photos.channels
    if (revision := getattr(generator, "revision", 1)) != 1:
        masks["revision"] = revision
    return {
        "format": FORMAT,
        "package": detcon.__version__,
        "fingerprint": fingerprint(masks),
        "source": photos.source,
        "num_photos": len(photos),
        "marks": photos.marks(),
        **masks,
    }


def digest_of_keys(keys: Iterable[str]) -> str:
    """SHA-256 of the photos' names, in their order, as 64 hexadecimal digits."""
    digest, between = hashlib.sha256(), b""
    try:
        for key in keys:  # one by one: joining a million names would copy them three times
            digest.update(between + key.encode())
            between = b"\n"
    except UnicodeEncodeError as error:  # Linux allows such names
        raise StoreError(
            f"the name of the photo {os.fsencode(error.object)!r} isn't valid UTF-8, and a store "
            f"of masks can't hold it; rename it"
        ) from error
    return digest.hexdigest()


def begin_store(folder: Path, header: dict[str, Any], keys: Sequence[str] = ()) -> dict[str, Any]:
    """Creates a store, or checks that the existing one holds the same masks of the same photos.

    A store in which nothing is stored yet, or no photo could be read, is begun again. `keys` are
    the photos' names, for messages. Returns the header on the disk, which may name an older package
    or another path of the photos.
    """
    path = folder / "header.json"
    if not path.exists():
        taken = folder.exists() and (not folder.is_dir() or any(folder.glob("[!.]*")))
        if taken and not path.exists():  # another job of an array may just have written it
            raise StoreError(f"{folder} exists and is no mask store; give another out=")
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_header(folder, header)
    found = read_header(folder)
    difference = _difference(found, header)
    if difference or found.get("marks") != header["marks"]:
        stored = [*(folder / "shards").glob("*.masks")]
        if difference and _none_read(stored, found):
            for path in (folder / "index.arrow", folder / "unreadable.json", *stored):
                path.unlink(missing_ok=True)
            stored = []
        if stored and difference:
            raise StoreError(
                f"the mask store {folder} was made with other parameters: {difference}"
                f"{_other_photos(stored, found, header, keys)}; give another out=, or delete the "
                f"folder to make it again"
            )
        if not stored:
            write_header(folder, header)
            found = header
    (folder / "shards").mkdir(exist_ok=True)
    return found


def write_header(folder: Path, header: dict[str, Any]) -> None:
    write_whole(folder / "header.json", json.dumps(header, indent=1))


def read_header(folder: Path) -> dict[str, Any]:
    """Reads a store's header."""
    path = folder / "header.json"
    try:
        header = json.loads(path.read_text())
        version = int(header["format"])
        if version <= FORMAT:
            _ = header["num_photos"] // header["shard_size"], header["keys"], header["fingerprint"]
            _ = header["generator"].items()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(
            f"there is no mask store {folder}; make one with: detcon masks images=DIR out={folder}"
        ) from error
    except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError) as error:
        raise StoreError(
            f"{path} is not the header of a mask store; "
            f"{copy_again(path, otherwise=f'remove {folder}, and make it again')}"
        ) from error
    if version > FORMAT:
        raise StoreError(
            f"the mask store {folder} has format {version}, and this detcon reads up to format "
            f"{FORMAT}; upgrade detcon (the store was made with {header.get('package')})"
        )
    return header


def num_shards(header: dict[str, Any]) -> int:
    """The number of shards of the complete store."""
    return -(-header["num_photos"] // header["shard_size"])


def shard_path(folder: Path, number: int) -> Path:
    return folder / "shards" / f"{number:05d}.masks"


def missing_shards(folder: Path, header: dict[str, Any]) -> list[int]:
    """The numbers of the shards that don't exist yet."""
    return [n for n in range(num_shards(header)) if not shard_path(folder, n).exists()]


def _recorded(generator: Any) -> dict[str, Any]:
    """The fields of a generator as in JSON, without fields of `LATER` at their default."""
    later = {one.name: one.default for one in fields(generator) if one.metadata == LATER}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(generator).items()
        if name not in later or value != later[name]
    }


def _difference(found: dict[str, Any], asked: dict[str, Any]) -> str:
    others = {"shard_size": 0, "channels": 3, "revision": 1}
    there, here = (
        of["generator"] | {name: of.get(name, default) for name, default in others.items()}
        for of in (found, asked)
    )
    names = [name for name in {**here, **there} if there.get(name) != here.get(name)]
    if "kind" in names:
        names = ["kind"]
    parts = [f"it has {_value(there, name)}, not {_value(here, name)}" for name in names]
    if found["keys"] != asked["keys"]:
        parts.append(
            f"its {found['num_photos']} photos are not the {asked['num_photos']} that are now in "
            f"{asked['source']}"
        )
    return ", and ".join(parts)


def _none_read(stored: Sequence[Path], found: dict[str, Any]) -> bool:
    """Whether a store is finished, and none of its photos could be read."""
    try:
        return len(stored) == num_shards(found) and not any(
            read_footer(path, found["fingerprint"])["reason"].null_count for path in stored
        )
    except StoreError:  # a damaged shard
        return False


def _other_photos(
    stored: Sequence[Path], found: dict[str, Any], asked: dict[str, Any], keys: Sequence[str]
) -> str:
    """` (1 is new, such as b.jpg; 2 are gone, such as a.jpg)`; "" if that can't be told."""
    if found["keys"] == asked["keys"] or not keys or len(stored) != num_shards(found):
        return ""
    before: set[str] = set()
    for path in stored:
        before.update(read_footer(path, found["fingerprint"])["key"].to_pylist())
    lists = {"new": sorted(set(keys) - before), "gone": sorted(before - set(keys))}
    parts = [
        f"{len(names)} {'is' if len(names) == 1 else 'are'} {what}, such as {names[0]}"
        for what, names in lists.items()
        if names
    ]
    return f" ({'; '.join(parts)})"


def _value(parameters: dict[str, Any], name: str) -> str:
    return f"{name}={shown(parameters[name])}" if name in parameters else f"the default {name}"
