"""Masks as PNG files: a map of ids for each photo, or a picture for each mask.

    a/b.jpg  →  a/b.png                    pixels are 1, 2, 3 ...; 0 belongs to no mask
             →  a/b/000.png, 001.png ...   where masks may overlap: 255 belongs to the mask

255 is never an id, since most readers take it for void; more than 254 masks take 16 bits.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from jaxtyping import Bool, Integer, Shaped

from detcon.files import write_whole
from detcon.formats.errors import FormatError
from detcon.formats.writing.masks import MasksOfPhotos, WrittenMasks

_VOID, _MOST = 255, 65534


def check_names(keys: Sequence[str]) -> None:
    """Sees to it that each photo has a name of its own without its extension.

    Raises:
        FormatError: Two have the same, or one has the name of another's folder.
    """
    stems: dict[str, str] = {}
    for key in keys:
        stem = str(PurePosixPath(key).with_suffix(""))
        if stem in stems:
            raise FormatError(
                f"cannot write PNG files: {stems[stem]} and {key} would have the same; use to=coco"
            )
        stems[stem] = key
    for key in keys:
        for parent in map(str, PurePosixPath(key).parents):
            if parent in stems:
                raise FormatError(
                    f"cannot write PNG files: the masks of {stems[parent]} would go into the "
                    f"folder of {key}; use to=coco"
                )


def write_pngs(masks: MasksOfPhotos, out: Path, keys: Sequence[str]) -> None:
    """Writes the files of some photos; those that are there are left as they are.

    Args:
        masks: The masks of these photos, and others.
        out: Where the files go.
        keys: The photos.

    Raises:
        FormatError: A photo has more masks than there are ids.
    """
    for key in keys:
        path = out / PurePosixPath(key).with_suffix(".png")
        first = path.with_suffix("") / "000.png"
        if path.exists() or first.exists():
            continue
        found = masks[key].at_size()
        stack = _not_empty(found)
        if stack is None:
            _write(path, _ids(found, key))
            continue
        for number in reversed(range(len(stack))):  # the first comes last: then all are there
            _write(first.with_name(f"{number:03d}.png"), stack[number].astype(np.uint8) * 255)


def _not_empty(masks: WrittenMasks) -> Bool[np.ndarray, "k y x"] | None:
    """The masks that may overlap and aren't empty; None if there are none."""
    if masks.membership is None:
        return None
    stack = masks.stack()
    kept = stack.any((1, 2))
    return stack[kept] if kept.any() else None


def _ids(masks: WrittenMasks, key: str) -> Integer[np.ndarray, "y x"]:
    if masks.membership is not None:
        return np.zeros(masks.size, np.uint8)
    ids = masks.ids
    if len(ids) > _MOST:
        raise FormatError(
            f"cannot write {key} as PNG: it has {len(ids)} masks, and 16 bits hold {_MOST}; use "
            f"to=coco"
        )
    values = np.arange(1, len(ids) + 1)
    values += values >= _VOID
    places = np.searchsorted(ids, masks.patterns)
    found = np.append(values, 0)[np.where(masks.patterns < 0, len(ids), places)]
    return found.astype(np.uint8 if len(ids) < _VOID else np.uint16)


def _write(path: Path, pixels: Shaped[np.ndarray, "y x"]) -> None:
    done, data = cv2.imencode(".png", pixels)
    assert done, path
    write_whole(path, data.tobytes(), durable=False)
