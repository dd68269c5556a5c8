"""Collections for composites: cut-outs with alpha, by class, and the split into train and val."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from detcon.notes import counted, note
from detcon.photos import EXTENSIONS, Photos, UnreadablePhoto, read_stored, shrink

_PNG = b"\x89PNG\r\n\x1a\n"
_OPAQUE = 8  # alpha up to this is dirt, not object
_MAX_CLASSES = 254  # 0 is the background, 255 is ignored
_HELD_OUT = 5  # one in five


class CutoutsError(ValueError):
    """A collection of cut-outs, or one of them, that can't be used."""


@dataclass(frozen=True)
class Cutouts:
    """A folder of PNG cut-outs; holds names only.

    Attributes:
        root: The folder.
        names: The classes: its sub-folders, sorted. Class id 1 is the first; 0 is the background.
        by_label: The files of each class id, relative to the folder, sorted.
    """

    root: str
    names: tuple[str, ...]
    by_label: dict[int, list[str]]

    def read(self, key: str, max_side: int) -> UInt8[np.ndarray, "y x 4"]:
        """Decodes a cut-out, trims its transparent border, and shrinks it to `max_side`.

        Returns:
            RGBA, the colours multiplied by alpha.

        Raises:
            CutoutsError: If it can't be decoded, or nothing of it can be seen.
        """
        path = Path(self.root, key)
        try:
            picture = read_stored(path, f"the cut-out {path}")
        except UnreadablePhoto as error:
            raise CutoutsError(str(error)) from error
        if picture.ndim != 3 or picture.shape[2] != 4:
            raise CutoutsError(f"the cut-out {path} has no alpha channel; replace it or remove it")
        if picture.dtype != np.uint8:
            picture = (picture >> 8).astype(np.uint8)
        return shrink(_multiply(_trim(picture, path)), max_side)


def open_cutouts(source: str | Path) -> Cutouts:
    """Lists the cut-outs of a folder: each sub-folder is a class, with PNG files at any depth.

    One sentence on stderr counts the pictures that are left out.

    Raises:
        CutoutsError: No such folder, no classes in it, too many, or no PNG with alpha.
    """
    root = Path(source)
    if not root.is_dir():
        raise CutoutsError(f"there is no folder of cut-outs {root}; check the path")
    pictures = sorted(_walk(root), key=lambda path: path.as_posix())
    loose = [path for path in pictures if path.parent == root]
    in_classes = [path for path in pictures if path.parent != root]
    others = [path for path in in_classes if path.suffix.lower() != ".png"]
    pngs = [path for path in in_classes if path.suffix.lower() == ".png"]
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
    by_label = {
        label: [path.as_posix() for path in kept if path.parts[0] == name]
        for label, name in enumerate(names, start=1)
    }
    left_out = {"without an alpha channel": opaque, "in no sub-folder": loose, "no PNG": others}
    if told := [
        f"{counted(len(some), 'picture')} {why}, {some[0].relative_to(root)} first"
        for why, some in left_out.items()
        if some
    ]:
        note(f"{root}: {counted(len(kept), 'cut-out')}; left out: {'; '.join(told)}")
    return Cutouts(str(root), names, by_label)


def split_cutouts(cutouts: Cutouts) -> tuple[Cutouts, Cutouts]:
    """A fifth of the cut-outs of every class, at least one, is held out; a lone one is not.

    Raises:
        CutoutsError: If nothing can be held out.
    """
    halves = {label: _hold_out(keys) for label, keys in cutouts.by_label.items()}
    kept = {label: keys for label, (keys, _) in halves.items()}
    held = {label: keys for label, (_, keys) in halves.items() if keys}
    if not held:
        raise CutoutsError(
            f"cannot hold out cut-outs of {cutouts.root}: no class has more than one; "
            f"give holdout=none or holdout=backgrounds"
        )
    return replace(cutouts, by_label=kept), replace(cutouts, by_label=held)


def split_backgrounds(photos: Photos) -> tuple[Photos, Photos]:
    """A fifth of the photos, at least one, is held out.

    Raises:
        CutoutsError: If there is only one photo.
    """
    kept, held = _hold_out(photos.keys)
    if not held:
        raise CutoutsError(
            f"cannot hold out backgrounds of {photos.source}: it holds only one photo; "
            f"give holdout=none or holdout=cutouts"
        )
    return replace(photos, keys=kept), replace(photos, keys=held)


def _hold_out(keys: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits keys into (kept, held out) by a random choice that is always the same."""
    num = len(keys)
    order = np.random.default_rng(0).permutation(num)
    chosen = set(order[: max(1, num // _HELD_OUT)].tolist()) if num > 1 else set()
    kept = [key for number, key in enumerate(keys) if number not in chosen]
    return kept, [key for number, key in enumerate(keys) if number in chosen]


def _walk(root: Path) -> Iterator[Path]:
    """All pictures that aren't hidden."""
    for path in root.rglob("*"):
        parts = path.relative_to(root).parts
        hidden = any(part.startswith(".") for part in parts)
        if not hidden and path.suffix.lower() in EXTENSIONS:
            yield path


def _has_alpha(path: Path) -> bool:
    """Reads the chunks before the pixels: grey or colour with alpha, or one of transparency."""
    with path.open("rb") as file:
        head = file.read(33)
        if not head.startswith(_PNG) or len(head) < 33:
            return False
        if head[25] in (4, 6):
            return True
        while (kind := file.read(8)[4:]) not in (b"", b"IDAT", b"tRNS"):
            file.seek(-8, os.SEEK_CUR)
            file.seek(int.from_bytes(file.read(4)) + 8, os.SEEK_CUR)  # its name and checksum
    return kind == b"tRNS"


def _trim(picture: UInt8[np.ndarray, "y x 4"], path: Path) -> UInt8[np.ndarray, "h w 4"]:
    solid = picture[..., 3] > _OPAQUE
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    if len(rows) == 0:
        raise CutoutsError(
            f"cannot use the cut-out {path}: all of it is transparent; replace it or remove it"
        )
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _multiply(rgba: UInt8[np.ndarray, "y x 4"]) -> UInt8[np.ndarray, "y x 4"]:
    """Multiplies the colours by alpha, so that the picture may be resized."""
    rgba = rgba.copy()
    alpha = rgba[..., 3:].astype(np.uint16)
    rgba[..., :3] = (rgba[..., :3] * alpha + 127) // 255
    return rgba
