"""Runs a finished model on photos: predictions as files, and drawn next to the photos.

What was predicted is listed in `predicted.jsonl`, with the sizes and digests of the photos: a
command that was stopped goes on, and one that is given again takes the photos that are new.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from detcon.config import load_recipe, shown as shown_value
from detcon.data.workers import make_ahead
from detcon.downstream.again import tell_absent, tell_left_out
from detcon.downstream.joining import tell_validation
from detcon.downstream.labels import (
    coco_entries,
    join_coco,
    sure,
    write_folder,
    write_labelme,
    write_predicted,
    write_voc_xml,
    write_yolo,
)
from detcon.downstream.model_file import Model, find_model, load_model
from detcon.downstream.pictures import write_png
from detcon.downstream.recipe import PredictRecipe, task_name
from detcon.downstream.tasks.detection.detections import Detections
from detcon.downstream.tasks.detection.recipe import DetectionRecipe
from detcon.downstream.tasks.detection.scoring import write_results
from detcon.downstream.tasks.own.recipe import OwnRecipe
from detcon.files import write_whole
from detcon.formats.segments import VOID
from detcon.notes import counted, say
from detcon.photos import Names, Photos, UnreadablePhoto, check_outside, open_photos, shown
from detcon.progress import ProgressBar
from detcon.results import RunError
from detcon.results.inputs import take_inventory
from detcon.results.lines import append_line, read_lines
from detcon.results.recipe import read_recipe, write_recipe
from detcon.train.replica import open_replica
from detcon.train.run import open_run

PREDICTED = "predicted.jsonl"
_WRITTEN = ("format", "score", "draw")

_MAPS = {
    "segmentation": "labels", "linear_segmentation": "labels", "knn_segmentation": "labels",
    "depth": "depth",
}  # fmt: skip
"""The folder of a task's maps, one a photo."""
_LABELS = {"labelme": "labelme/*.json", "yolo": "yolo/labels/*.txt", "voc_xml": "voc_xml/*.xml"}
"""Where a format has the file of a photo; `*` is its key, without ending."""

Rows = dict[str, dict[str, Any]]
"""The lines of `predicted.jsonl` by the key of their photo."""


def predict(recipe: str | Path | PredictRecipe | None = None, /, **overrides: Any) -> Path:
    """Writes a model's prediction for each photo, at the photo's own size.

    Segmentation gives `labels/*.png` with class ids, detection `predictions.json` in COCO's result
    format, depth `depth/*.png` in thousandths of a metre, classification `classes.csv`; all of
    them `drawn/*.png`. With `format=coco`, `yolo`, `labelme`, `voc_xml` or `folder`, segmentation
    and detection give labels that can be corrected and learnt from. A photo that can't be read is
    skipped and reported.

    Raises:
        ValueError: A model, photos or a folder that don't fit; the sentence says which.
        OSError: A disk that is full or can't be written.
    """
    settings = load_recipe(PredictRecipe, recipe, overrides)
    model = load_model(settings.model, encoder=settings.encoder, task=settings.task)
    folder = Path(settings.out)
    if settings.format != "auto" and model.task.objects is None:
        kind = task_name(model.settings.task)
        raise ValueError(f"{kind} finds no objects to write as {settings.format}; leave format out")
    if settings.format == "folder":
        _check_maps(model, settings.model)
    check_outside(folder, settings.images)
    photos = open_photos(settings.images, model.in_channels)
    named = Names(photos.keys, photos.root)
    _refuse_equal_names(photos, named, settings.images)
    tell_validation(photos, named, Path(model.settings.data), settings)
    rows = {row["photo"]: row for row in read_lines(folder / PREDICTED)[0].values()}
    known = _unchanged(photos, rows, folder)
    inputs = {"model": take_inventory(find_model(settings.model))}
    other = _written_otherwise(settings, model, folder)
    run = open_run(folder, _as_recorded(settings, folder, known, other), inputs=inputs)
    if other:
        say(f"{', '.join(other.values())}: all photos of {folder} are predicted again")
        rows, known = {}, set()
        (folder / PREDICTED).unlink(missing_ok=True)
        write_recipe(folder, settings)
        run = open_run(folder, settings, inputs=inputs)
    if lost := {key for key in known if not _is_there(model, settings, named[key])}:
        lacking = counted(len(lost), "prediction")
        say(f"gone from {folder}, and made again: {lacking}, the first is that of {min(lost)}")
    left = [key for key in photos.keys if key not in known - lost]
    if there := len(known - lost):
        what = f"goes on with {len(left)} more" if left else "there are no others"
        say(f"{folder} has the predictions of {counted(there, 'photo')}: {what}")
    unreadable: list[str] = []
    faint, best = 0, 0.0
    if left:
        model.to(open_replica("32", settings.accelerator).device)
    for photo, found in _predictions(model, photos, left, settings, unreadable):
        seen, name = sure(found, settings.score), named[photo.key]
        if seen is not found:
            faint += len(found) - len(seen)
            best = max([best, *found.scores[found.scores < settings.score].tolist()])
        if settings.draw:
            picture = model.task.draw(photo.pixels, seen, model.names)
            pixels = np.concatenate([shown(photo.pixels), picture], axis=1)
            write_png(folder / "drawn" / PurePosixPath(name).with_suffix(".png"), pixels)
        row = {"photo": photo.key, "bytes": photo.size, "sha256": photo.digest}
        objects = None
        if settings.format != "auto" and model.task.objects is not None:
            objects = sure(model.task.objects(found, model.names), settings.score)
            row |= {"objects": len(objects), "classes": np.unique(objects.objects.classes).tolist()}
        if settings.format == "folder":
            copy = folder / "folder" / "train" / "images" / name
            write_whole(copy, photos.data(photo.key), durable=False)
        rows[photo.key] = row | {"found": _save(model, settings, name, found, objects)}
        append_line(folder / PREDICTED, rows[photo.key])
    if len(unreadable) == len(photos):
        raise RunError(
            f"none of the {len(photos)} photos could be read; the first: {unreadable[0]}"
        )
    _finish(model, settings, {named[key]: rows[key]["found"] for key in photos.keys if key in rows})
    for sentence in unreadable:
        say(f"skipped: {sentence}")
    labelled = [rows[key] for key in photos.keys if "objects" in rows.get(key, {})]
    tell_left_out(settings, [row["objects"] for row in labelled], faint, best)
    if settings.format in ("labelme", "voc_xml"):  # whose files name the classes of their objects
        tell_absent(model.names, labelled)
    run.finish()
    return run.folder


def _check_maps(model: Model, name: str) -> None:
    """Raises a `ValueError` where a labelled folder has no place for what the model finds."""
    task = model.settings.task
    if isinstance(task, OwnRecipe):
        raise ValueError(f"format=folder isn't for {task_name(task)}; give format=coco")
    if isinstance(task, DetectionRecipe) and not task.detector.masks:
        raise ValueError(
            f"{name} finds boxes without masks, which a labelled folder has no place for; give "
            f"format=voc_xml or format=coco"
        )


def _save(
    model: Model, settings: PredictRecipe, key: str, found: Any, objects: Detections | None
) -> Any:
    """Writes what belongs to one photo; returns what belongs to a file of all photos.

    `objects` are what is written as labels; None without a format of labels.
    """
    folder, names = Path(settings.out), model.names
    if objects is None:
        return model.task.save(found, key, folder, names)
    part = folder / "folder" / "train"
    if settings.format == "folder" and not isinstance(found, Detections):
        return model.task.save(found, key, part, names)
    if settings.format == "folder":
        return write_folder(part, key, objects)
    if settings.format == "coco":
        return coco_entries(objects, names)
    if settings.format == "yolo":
        return write_yolo(folder / "yolo", key, objects)
    if settings.format == "labelme":
        return write_labelme(folder / "labelme", key, objects, names)
    return write_voc_xml(folder / "voc_xml", key, objects, names, channels=model.in_channels)


def _is_there(model: Model, settings: PredictRecipe, name: str) -> bool:
    """Whether the files of a photo alone are there; those of a task of the user's aren't known."""
    stem, task = PurePosixPath(name).with_suffix(""), model.settings.task
    maps = _MAPS.get(task.kind)
    wanted = [f"drawn/{stem}.png"] if settings.draw else []
    if settings.format == "auto" and maps:
        wanted.append(f"{maps}/{stem}.png")
    if settings.format in _LABELS:
        wanted.append(_LABELS[settings.format].replace("*", str(stem)))
    if settings.format == "folder":
        objects = ["instances"] if isinstance(task, DetectionRecipe) else []
        wanted += [f"folder/train/{part}/{stem}.png" for part in ("labels", *objects)]
        wanted.append(f"folder/train/images/{name}")
    return all(Path(settings.out, one).is_file() for one in wanted)


def _finish(model: Model, settings: PredictRecipe, rows: Mapping[str, Any]) -> None:
    """Writes the files of all photos together, and says what a format has no place for."""
    folder, names = Path(settings.out), model.names
    if settings.format == "auto":
        model.task.finish(rows, folder, names)
    if settings.format == "coco":
        write_results(folder / "coco", "annotations", join_coco(rows, names))
    if settings.format == "yolo":
        write_whole(folder / "yolo" / "classes.txt", "".join(f"{name}\n" for name in names))
    if settings.format == "folder":
        content = json.dumps({"names": names, "ignore": VOID})
        write_whole(folder / "folder" / "classes.json", f"{content}\n")
        labelled = Path(model.settings.data, "train", "labels")  # which stay when they are joined
        maps = {name: PurePosixPath(name).with_suffix(".png") for name in rows}
        new = [name for name, path in maps.items() if not (labelled / path).is_file()]
        write_predicted(folder / "folder" / "train", new)
        if num := sum(row or 0 for row in rows.values()):
            say(f"objects left out: {num} (a surer one hides them whole)")
    if settings.format == "voc_xml" and (num := sum(rows.values())):
        say(f"outlines left out: {num} (VOC XML holds boxes alone)")


class _Photo(NamedTuple):
    """A photo that was read, and what its file was."""

    key: str
    pixels: UInt8[np.ndarray, "y x c"]
    size: int
    digest: str


def _predictions(
    model: Model, photos: Photos, keys: Sequence[str], settings: PredictRecipe, lost: list[str]
) -> Iterator[tuple[_Photo, Any]]:
    """Photos and predictions, made in batches; adds a sentence to `lost` for an unreadable one."""
    places = [
        keys[at : at + settings.batch_size] for at in range(0, len(keys), settings.batch_size)
    ]
    done = len(photos.keys) - len(keys)
    with ProgressBar("predicting", len(photos.keys), done=done, transient=True) as bar:
        for read in make_ahead(partial(_read, photos), places, workers=settings.workers):
            lost += [one for one in read if isinstance(one, str)]
            readable = [one for one in read if not isinstance(one, str)]
            found = model.predict_all([photo.pixels for photo in readable])
            yield from zip(readable, found, strict=True)
            bar.advance(len(read))


def _read(photos: Photos, keys: Sequence[str]) -> list[_Photo | str]:
    """Some photos, decoded; in place of one that can't be read, its sentence."""
    read: list[_Photo | str] = []
    for key in keys:
        try:
            data = photos.data(key)
            read.append(_Photo(key, photos.decode(key, data), len(data), _digest(data)))
        except UnreadablePhoto as error:
            read.append(str(error))
    return read


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _unchanged(photos: Photos, rows: Rows, folder: Path) -> set[str]:
    """The photos whose prediction is there. Refuses to go on if others were changed or are gone."""
    keys = set(photos.keys) if rows else set()
    gone = [key for key in rows if key not in keys]
    since = (folder / PREDICTED).stat().st_mtime if rows else 0.0
    saved = read_recipe(folder) if rows else None
    if saved is not None and saved.values.get("images") != photos.source:
        since = 0.0  # in another place old files may be others
    there = [key for key in rows if key in keys]
    changed = [key for key in there if not _is_same(photos, key, rows[key], since)]
    if gone and not there:
        raise RunError(
            f"{folder} has the predictions of other photos than those of {photos.source}; give "
            f"another out=, or remove {folder} to make it again"
        )
    if gone or changed:
        raise RunError(
            f"{counted(len(changed), 'photo')} of {photos.source} changed and {len(gone)} gone "
            f"since they were predicted in {folder}, the first is {(changed + gone)[0]}; give "
            f"another out=, or remove {folder} to make it again"
        )
    return set(there)


def _is_same(photos: Photos, key: str, row: Mapping[str, Any], since: float) -> bool:
    """Whether a photo is the one that was predicted; an older file of the same size is."""
    if photos.members is None:
        try:
            status = photos.path(key).stat()
        except OSError:  # a list names it still
            return False
        if status.st_size != row["bytes"] or status.st_mtime < since:
            return status.st_size == row["bytes"]
    return _digest(photos.data(key)) == row["sha256"]


def _written_otherwise(settings: PredictRecipe, model: Model, folder: Path) -> dict[str, str]:
    """What decides what is written and differs from the run in the folder: names, and words.

    Raises:
        RunError: There are labels, which a person may have corrected by now.
    """
    saved = read_recipe(folder)
    before = {} if saved is None or "model" not in saved.values else saved.values
    changed = {
        name: f"{name}={shown_value(now)} in place of {shown_value(before[name])}"
        for name in _WRITTEN
        if name in before and before[name] != (now := getattr(settings, name))
    }
    if changed and {settings.format, before.get("format", "auto")} != {"auto"}:
        name, words = next(iter(changed.items()))
        end = "drawn" if name == "draw" else shown_value(getattr(settings, name))
        raise RunError(
            f"{folder} has what was predicted with {name}={shown_value(before[name])}, maybe "
            f"corrected by now; for {words.partition(' ')[0]} give another out=, as in "
            f"out={folder}-{end}"
        )
    has_scores = isinstance(model.settings.task, DetectionRecipe | OwnRecipe)
    if not (settings.draw and has_scores):
        changed.pop("score", None)
    return changed


def _as_recorded(
    settings: PredictRecipe, folder: Path, known: Collection[str], other: Collection[str]
) -> PredictRecipe:
    """With what may differ from the run that is gone on with: photos were compared themselves."""
    saved = read_recipe(folder)
    free = (*other, *(("images", "batch_size", "accelerator", "score") if known else ()))
    return settings.model_copy(
        update={name: saved.values[name] for name in free if saved and name in saved.values}
    )


def _refuse_equal_names(photos: Photos, named: Names, images: str) -> None:
    """Refuses photos that differ in the format alone: their predictions would be one PNG."""
    first: dict[PurePosixPath, str] = {}
    for key in photos.keys:
        name = PurePosixPath(named[key]).with_suffix("")
        if name in first:
            raise ValueError(
                f"images={images} holds {first[name]} and {key}, whose predictions would be one "
                f"file, {name}.png; rename one of them, or list the photos you want in a file"
            )
        first[name] = key
