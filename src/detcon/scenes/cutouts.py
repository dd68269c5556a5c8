"""Collections for composites: cut-outs with alpha, by class, and the split into train and val."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from detcon.photos import Photos, shrink

_PNG = b"\x89PNG\r\n\x1a\n"
_OPAQUE = 8  # alpha up to this is dirt, not object
_MAX_CLASSES = 254  # 0 is the background, 255 is ignored
_HELD_OUT = 5  # one in five


class CutoutsError(ValueError):
    """A collection of cut-outs, or one of them, that can't be used."""


@dataclass(frozen=True)
class Cutout:
    """A cut-out: its file, relative to the collection, and its class id, from 1."""

    key: str
    label: int


@dataclass(frozen=True)
class Cutouts:
    """A folder of PNG cut-outs; holds names only.

    Attributes:
        root: The folder.
        names: The classes: its sub-folders, sorted. Class id 1 is the first; 0 is the background.
        items: The cut-outs by class and name.
        skipped: How many PNG files had no alpha channel.
    """

    root: str
    names: tuple[str, ...]
    items: tuple[Cutout, ...]
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def by_label(self) -> dict[int, list[Cutout]]:
        """The cut-outs of each class id."""
        groups: dict[int, list[Cutout]] = {}
        for item in self.items:
            groups.setdefault(item.label, []).append(item)
        return groups

    def read(self, key: str, max_side: int) -> UInt8[np.ndarray, "y x 4"]:
        """Decodes a cut-out, trims its transparent border, and shrinks it to `max_side`.

        Returns:
            RGBA, the colours multiplied by alpha.

        Raises:
            CutoutsError: If it can't be decoded, or nothing of it can be seen.
        """
        path = Path(self.root, key)
        data = np.frombuffer(path.read_bytes(), np.uint8)
        picture: Any = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
        if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
            raise CutoutsError(
                f"cannot read the cut-out {path}: it is damaged, or no PNG with an alpha channel; "
                f"replace it or remove it"
            )
        if picture.dtype != np.uint8:
            picture = (picture >> 8).astype(np.uint8)
        return shrink(_multiply(_trim(picture, path)), max_side)


def open_cutouts(source: str | Path) -> Cutouts:
    """Lists the cut-outs of a folder: each sub-folder is a class, with PNG files at any depth.

    Raises:
        CutoutsError: No such folder, no classes in it, too many, or no PNG with alpha.
    """
    root = Path(source)
    if not root.is_dir():
        raise CutoutsError(f"there is no folder of cut-outs {root}; check the path")
    pngs = sorted(_walk(root), key=lambda path: path.as_posix())
    if not pngs:
        raise CutoutsError(
            f"there are no cut-outs in {root}: looked for PNG files in its sub-folders, "
            f"one for each class, as in {root / 'dog' / 'rex.png'}"
        )
    opaque = [path for path in pngs if not _has_alpha(path)]
    if len(opaque) == len(pngs):
        raise CutoutsError(
            f"none of the {len(pngs)} PNG files in {root} has an alpha channel; a cut-out is a "
            f"PNG that is transparent around its object"
        )
    kept = [path.relative_to(root) for path in pngs if path not in set(opaque)]
    names = tuple(sorted({path.parts[0] for path in kept}))
    if len(names) > _MAX_CLASSES:
        raise CutoutsError(
            f"{root} holds {len(names)} classes of cut-outs, but a label map of 8 bits can tell "
            f"only {_MAX_CLASSES} from the background; use fewer sub-folders"
        )
    items = [Cutout(path.as_posix(), names.index(path.parts[0]) + 1) for path in kept]
    items.sort(key=lambda item: (item.label, item.key))
    return Cutouts(str(root), names, tuple(items), len(opaque))


def split_cutouts(cutouts: Cutouts) -> tuple[Cutouts, Cutouts]:
    """A fifth of the cut-outs of every class, at least one, is held out; a lone one is not.

    Raises:
        CutoutsError: If nothing can be held out.
    """
    kept, held = [], []
    for items in cutouts.by_label.values():
        chosen = _chosen(len(items))
        held += [item for number, item in enumerate(items) if number in chosen]
        kept += [item for number, item in enumerate(items) if number not in chosen]
    if not held:
        raise CutoutsError(
            f"cannot hold out cut-outs of {cutouts.root}: no class has more than one; "
            f"give holdout=none or holdout=backgrounds"
        )
    return replace(cutouts, items=tuple(kept)), replace(cutouts, items=tuple(held))


def split_backgrounds(photos: Photos) -> tuple[Photos, Photos]:
    """A fifth of the photos, at least one, is held out.

    Raises:
        CutoutsError: If there is only one photo.
    """
    chosen = _chosen(len(photos))
    if not chosen:
        raise CutoutsError(
            f"cannot hold out backgrounds of {photos.source}: it holds only one photo; "
            f"give holdout=none or holdout=cutouts"
        )
    kept = [key for number, key in enumerate(photos.keys) if number not in chosen]
    held = [key for number, key in enumerate(photos.keys) if number in chosen]
    return replace(photos, keys=kept), replace(photos, keys=held)


def _chosen(num: int) -> set[int]:
    """Which of `num` items are held out: a random choice that is always the same."""
    if num < 2:
        return set()
    order = np.random.default_rng(0).permutation(num)
    return {int(one) for one in order[: max(1, num // _HELD_OUT)]}


def _walk(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        hidden = any(part.startswith(".") for part in relative.parts)
        if len(relative.parts) > 1 and not hidden and path.suffix.lower() == ".png":
            yield path


def _has_alpha(path: Path) -> bool:
    """Reads the header: grey or colour with alpha, or a chunk of transparency."""
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.startswith(_PNG) or len(head) < 26:
        return False
    return head[25] in (4, 6) or b"tRNS" in head


def _trim(picture: UInt8[np.ndarray, "y x 4"], path: Path) -> UInt8[np.ndarray, "h w 4"]:
    solid = picture[..., 3] > _OPAQUE
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    if len(rows) == 0:
        raise CutoutsError(
            f"cannot use the cut-out {path}: all of it is transparent; replace it or remove it"
        )
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _multiply(bgra: UInt8[np.ndarray, "y x 4"]) -> UInt8[np.ndarray, "y x 4"]:
    """BGRA to RGBA with colours multiplied by alpha, so that it may be resized."""
    rgba: Any = cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA)
    alpha = rgba[..., 3:].astype(np.uint16)
    rgba[..., :3] = (rgba[..., :3] * alpha + 127) // 255
    return rgba
