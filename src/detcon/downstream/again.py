"""What comes after predictions: what they lack, how to correct them, and to learn from them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from detcon.config import shown
from detcon.downstream.labels import BACKGROUND
from detcon.downstream.model_file import find_model, settings_of
from detcon.downstream.recipe import PredictRecipe, TransferRecipe
from detcon.downstream.tasks.detection.recipe import DetectionRecipe
from detcon.downstream.tasks.own.recipe import OwnRecipe
from detcon.notes import counted, say
from detcon.photos import Names, open_photos
from detcon.results.recipe import RECIPE

_CORRECT = {  # and the data to learn from
    "labelme": (
        "cp -rn {out}/labelme/. {place}, which keeps labels that are there, correct the new ones "
        "in LabelMe, and learn from them",
        "{data}",
    ),
    "voc_xml": (
        "cp -rn {out}/voc_xml/. {place}, which keeps labels that are there, correct the new ones, "
        "as in LabelImg, and learn from them",
        "{data}",
    ),
    "yolo": (
        "put the photos into {out}/yolo/images, correct the labels, and learn from them",
        "{out}/yolo",
    ),
    "folder": ("correct {out}/folder, cp -rn {out}/folder/. {data}, and learn from both", "{data}"),
    "coco": (
        "import {out}/coco/annotations.json where you correct it, as in CVAT, export it as COCO, "
        "and learn from that",
        "EXPORTED",
    ),
}
_RECIPES = {
    "detection": "coco_mask_rcnn_small",
    "linear_segmentation": "folder_linear",
    "knn_segmentation": "folder_knn",
}
"""Recipes of tasks, where that of the model's run isn't at hand; of others folder_fcn."""


def how_to_learn_again(settings: PredictRecipe) -> str:
    """What to do with the labels that were written; "" where none were.

    The command takes the recipe of the model's run, so that only the data are others.
    """
    if settings.format == "auto":
        return ""
    made, model = settings_of(settings.model), find_model(settings.model)
    place, data, joins, aside = _places(settings, made)
    words_of = {"out": settings.out, "place": place, "data": data}
    quoted = {name: quote(value) for name, value in words_of.items()}
    how, learnt_from = (one.format(**quoted) for one in _CORRECT[settings.format])
    recipe = model.with_name(RECIPE)
    is_new_task = settings.format == "voc_xml" and not isinstance(made.task, DetectionRecipe)
    if recipe.is_file() and not is_new_task:
        words = [quote(str(recipe)), *_changes(made, model, settings.format)]
    else:
        words = [*_task(made, is_new_task), *_backbone(made, model)]
    words += [f"data={learnt_from}", f"format={settings.format}"]
    val = made.val if joins else 0.2
    if settings.format != "folder" and val is not None:
        words.append(f"val={val:g}")
    return f"{how}{aside}: detcon transfer {' '.join(words)} out={quote(settings.out)}-learnt"


def tell_left_out(settings: PredictRecipe, counts: Sequence[int], faint: int, best: float) -> None:
    """Says what isn't in the labels or the drawings.

    Args:
        settings: Those of the command.
        counts: Objects written for each photo; empty where no labels are written.
        faint: How many objects were below the score that was asked for.
        best: The highest score of these.
    """
    if empty := counts.count(0):
        of = f"{empty:,} of {counted(len(counts), 'photo')}"
        say(f"{of} got no object: learnt as empty, if not corrected or labelled already")
    if faint:
        left_out = "drawn" if settings.format == "auto" else "drawn or written"
        digits = next((n for n in range(2, 8) if round(best, n) < settings.score), 8)
        say(
            f"{counted(faint, 'object')} of a score below {settings.score:g}, the surest of them "
            f"of {best:.{digits}f}, aren't {left_out}; score= lets in more"
        )


def tell_absent(names: Sequence[str], labelled: Sequence[Mapping[str, Any]]) -> None:
    """Says which classes no photo shows: files that name classes lack them."""
    found = {number for row in labelled for number in row.get("classes", range(len(names)))}
    absent = [name for number, name in enumerate(names) if number not in found]
    if labelled and (lost := [name for name in absent if name not in (BACKGROUND, "class 0")]):
        say(f"no photo shows {', '.join(lost)}: what learns from these labels alone won't know it")


def _places(settings: PredictRecipe, made: TransferRecipe) -> tuple[str, str, bool, str]:
    """Where labels are copied to, the data to learn from, and what else there is to do or know.

    Labels join those that the model learnt from where these are of the same format, and of these
    photos or of others in their folder; the third value says whether they do.
    """
    photos, own = _folder(settings.images), Path(made.data)
    has_own = made.format == settings.format and own.is_dir()
    if settings.format == "folder":
        return photos, made.data if has_own else "LABELLED", has_own, ""
    if settings.format not in ("labelme", "voc_xml") or not has_own:
        return photos, photos, False, ""
    if not Path(photos).resolve().is_relative_to(own.resolve()):
        alone = f", these alone; docs/predict.md joins them to {quote(made.data)}"
        return photos, photos, False, alone
    is_voc = settings.format == "voc_xml" and (own / "Annotations").is_dir()
    place, listed = str(own / "Annotations") if is_voc else photos, own / "ImageSets/Main/train.txt"
    to_list = f"; names that are in no list go into {quote(str(listed))}"
    return place, made.data, True, to_list if listed.is_file() else ""


def _folder(images: str) -> str:
    """The folder that the photos' labels are copied to: of a list, what names are relative to."""
    is_list = Path(images).is_file() and Path(images).suffix.lower() != ".tar"
    if not is_list:
        return images
    photos = open_photos(images)
    return Names(photos.keys, photos.root).folder


def _changes(made: TransferRecipe, model: Path, form: str) -> list[str]:
    """What of a model's recipe doesn't hold for the new labels."""
    words = [] if _is_there(made) else [*_backbone(made, model), "backbone_sha256=null"]
    if made.labels is not None:
        words.append("labels=null")  # all of them; "all" would be a grid of one
    if made.val_photos is not None:
        words.append("val_photos=null")  # of other photos
    if isinstance(made.task, DetectionRecipe):
        words.append("task.detector.masks=auto")
    if form == "folder" and made.val is not None:
        words += ["val=null", "val_groups=null"]
    if form != "folder":  # such labels name their classes
        given = [name for name in ("ignore", "num_classes") if getattr(made.task, name, None)]
        words += [f"task.{name}=null" for name in given]
    return words


def _task(made: TransferRecipe, is_new: bool) -> list[str]:
    """The words for the task of a model; `is_new`: boxes can teach detection alone."""
    if is_new or not isinstance(made.task, OwnRecipe):
        return [_RECIPES["detection"] if is_new else _RECIPES.get(made.task.kind, "folder_fcn")]
    words = ["task=own", f"task.function={quote(made.task.function)}"]
    if made.task.options:
        words.append(quote(f"task.options={shown(made.task.options)}"))
    return words


def _backbone(made: TransferRecipe, model: Path) -> list[str]:
    """The backbone that a model was trained from; where it is gone, the model's own."""
    own, source = model.with_name("backbone.safetensors"), made.backbone
    if not _is_there(made):
        source = str(own) if own.is_file() else "BACKBONE"
    words = [f"backbone={quote(source)}"]
    if made.encoder is not None and (source == "random" or made.encoder.is_own):
        words.append(f"encoder.name={quote(made.encoder.name)}")
        words += [f"encoder.width={made.encoder.width:g}"] if source == "random" else []
    if made.backbone_partial and source == made.backbone:
        words.append("backbone_partial=true")
    return words


def _is_there(made: TransferRecipe) -> bool:
    named = made.backbone == "random" or made.backbone.startswith(("torchvision:", "timm:"))
    return named or Path(made.backbone).is_file()
