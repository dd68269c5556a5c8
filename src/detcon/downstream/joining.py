"""Where predicted labels join those of people: where to copy them, and what to learn from then."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detcon.downstream.recipe import PredictRecipe, TransferRecipe
from detcon.notes import counted, say
from detcon.photos import Names, Photos, open_photos

_SUFFIXES = {"labelme": ".json", "voc_xml": ".xml"}
"""Of formats with a file for each photo, which lies beside it or in VOC's `Annotations`."""


@dataclass(frozen=True)
class Joining:
    """How the labels of a prediction join others.

    Attributes:
        written: The folder whose content is copied.
        place: The folder that it is copied to.
        data: What to learn from then.
        val: The share of photos to hold back; None where `data` has validation photos.
        there: How many of the photos have labels in `place` already; "" for none.
        complete: Whether all have.
        listed: The list that names of new photos go into; "" where there is none.
        photos: The folder of the photos and the one that they are copied to, too; () where they
            may stay.
        apart: The labels that the model learnt from, where the new ones don't join them; else "".
    """

    written: str
    place: str
    data: str
    val: float | None = 0.2
    there: str = ""
    complete: bool = False
    listed: str = ""
    photos: tuple[str, ...] = ()
    apart: str = ""


def join_labels(settings: PredictRecipe, made: TransferRecipe) -> Joining:
    """Finds labels of people that lie with the photos.

    They join those that the model learnt from, where these are of the same format, and of these
    photos or of others in their folder, or a data set of VOC, which the photos join as well; or
    else a data set of VOC that the photos lie in.

    Args:
        settings: Of the prediction.
        made: Of the model's transfer.
    """
    own = Path(made.data)
    is_ours = made.format == settings.format and own.is_dir()
    written = f"{settings.out}/{settings.format}"
    if settings.format not in ("folder", *_SUFFIXES):  # a file of all photos, or a new folder
        return Joining(written, written, written)
    folder, part, names = _photos(settings.images)
    if settings.format == "folder":
        data = made.data if is_ours else "LABELLED"
        maps = Path(data, "train", "labels")
        has = _count([(maps / name).with_suffix(".png") for name in names])
        return Joining(written, data, data, None, *has)
    photos = os.path.normpath(os.path.join(folder, part))
    is_own = is_ours and Path(photos).resolve().is_relative_to(own.resolve())
    voc = _voc(Path(photos)) if settings.format == "voc_xml" else None
    is_folder, moved = Path(settings.images).is_dir(), ()
    if voc is None and is_folder:  # with all its folders
        photos, part = settings.images, "."
        if is_ours and not is_own and settings.format == "voc_xml" and _is_voc(own):
            voc, moved = own, (photos, str(own / "JPEGImages"))
    place, data, val, listed = photos, made.data if is_own else photos, 0.2, Path()
    if voc is not None:
        lists, place = voc / "ImageSets/Main", str(voc / "Annotations")
        data = made.data if is_ours and voc.samefile(own) else str(voc)
        val = None if (lists / "val.txt").is_file() else val
        listed = lists / "train.txt"
    suffix = _SUFFIXES[settings.format]
    files = [Path(place, os.path.relpath(name, part)).with_suffix(suffix) for name in names]
    there, complete = _count(files)
    return Joining(
        written if part == "." else f"{written}/{part}",
        place,
        data,
        made.val if data == made.data else val,
        there,
        complete,
        str(listed) if listed.is_file() else "",
        moved,
        made.data if is_ours and not is_own and voc is None else "",
    )


def _count(files: Sequence[Path]) -> tuple[str, bool]:
    """How many of the labels of photos are there, "" for none; and whether all are."""
    found = sum(file.is_file() for file in files)
    told = f"{found:,} of {counted(len(files), 'photo')}" if found else ""
    return told, found == len(files)


def tell_validation(photos: Photos, named: Names, data: Path, settings: PredictRecipe) -> None:
    """Tells of validation photos of the model's labelled folder, before labels of them are made.

    Where these would join its `train` they are refused.
    """
    val = data / "val" / "images"
    if settings.format == "auto" or photos.members is not None or not val.is_dir():
        return
    root, found = val.resolve(), []
    for key in photos.keys:
        path, twin = photos.path(key), val / named[key]
        is_copy = twin.is_file() and path.is_file() and twin.stat().st_size == path.stat().st_size
        if is_copy or path.resolve().is_relative_to(root):
            found.append(key)
    if not found:
        return
    told = (
        f"{len(found)} of {counted(len(photos), 'photo')} of images={settings.images} are "
        f"validation photos of {data}, the first is {found[0]}"
    )
    if settings.format == "folder":
        raise ValueError(
            f"{told}; with format=folder their labels would join train/, and a model be scored on "
            f"what it learnt. List the others in a file, or leave format out to look at predictions"
        )
    say(f"{told}: a model that learns from them can't be scored on that data")


def _photos(images: str) -> tuple[str, str, list[str]]:
    """The folder that names of photos are relative to, the part of it with all photos, the names.

    Files of predictions have the same names, below the folder of the prediction.
    """
    photos = open_photos(images)
    named = Names(photos.keys, photos.root)
    names = [named[key] for key in photos.keys]
    return named.folder, os.path.commonpath([os.path.dirname(n) for n in names]) or ".", names


def _voc(folder: Path) -> Path | None:
    """The data set of VOC that photos of `folder` belong to."""
    near = (folder, *list(folder.parents)[:2])
    return next((one for one in near if (one / "Annotations").is_dir()), None)


def _is_voc(data: Path) -> bool:
    return (data / "Annotations").is_dir() and (data / "JPEGImages").is_dir()
