"""What comes after predictions: what they lack, how to correct them, and to learn from them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from detcon.config import shown
from detcon.downstream.joining import Joining, join_labels
from detcon.downstream.labels import BACKGROUND
from detcon.downstream.model_file import find_model, settings_of
from detcon.downstream.recipe import PredictRecipe, TransferRecipe
from detcon.downstream.tasks.detection.recipe import DetectionRecipe
from detcon.downstream.tasks.own.recipe import OwnRecipe
from detcon.notes import counted, say
from detcon.results.recipe import RECIPE

_CORRECT = {
    "labelme": "correct the new labels in LabelMe",
    "voc_xml": "correct the new labels, as in LabelImg",
    "yolo": "put the photos into {out}/yolo/images, and correct the labels",
    "folder": "correct the new labels below {out}/folder",
    "coco": "import {out}/coco/annotations.json where you correct it, as in CVAT, and export it as "
    "COCO",
}
_WITH_OBJECTS = ("segmentation", "linear_segmentation", "knn_segmentation", "detection")
_RECIPES = {
    "detection": "coco_mask_rcnn_small",
    "linear_segmentation": "folder_linear",
    "knn_segmentation": "folder_knn",
}
"""Recipes of tasks, where that of the model's run isn't at hand; of others folder_fcn."""


def how_to_learn_again(settings: PredictRecipe) -> str:
    """What to do with the labels that were written, a line a step; without, what there is to see.

    The command takes the recipe of the model's run, so that only the data are others.
    """
    made, model = settings_of(settings.model), find_model(settings.model)
    if settings.format == "auto":
        steps = [f"look at {quote(settings.out)}/drawn"] if settings.draw else []
        if made.task.kind in _WITH_OBJECTS:
            steps.append("for labels to correct give format=labelme, or another, and another out=")
        return "; ".join(steps)
    join = join_labels(settings, made)
    how = _CORRECT[settings.format].format(out=quote(settings.out), data=quote(join.data))
    if settings.format in ("labelme", "voc_xml", "folder"):
        how = _join(join, how, is_first=settings.format == "folder")
    recipe = model.with_name(RECIPE)
    is_new_task = settings.format == "voc_xml" and not isinstance(made.task, DetectionRecipe)
    if recipe.is_file() and not is_new_task:
        words = [quote(str(recipe)), *_changes(made, model, settings.format)]
    else:
        words = [*_task(made, is_new_task), *_backbone(made, model)]
    learnt_from = "EXPORTED" if settings.format == "coco" else quote(join.data)
    words += [f"data={learnt_from}", f"format={settings.format}"]
    if join.val is not None:
        words.append(f"val={join.val:g}")
    elif made.val is not None:
        words += ["val=null", "val_groups=null"]
    return f"{how}\ndetcon transfer {' '.join(words)} out={quote(settings.out)}-learnt"


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
    """Says which classes no label has: those of the photos would be learnt as background."""
    found = {number for row in labelled for number in row.get("classes", range(len(names)))}
    absent = [name for number, name in enumerate(names) if number not in found]
    if labelled and (lost := [name for name in absent if name not in (BACKGROUND, "class 0")]):
        what = "such an object" if len(lost) == 1 else "such objects"
        say(
            f"no label says {', '.join(lost)}: {what} in these photos would be learnt as background"
        )


def _join(join: Joining, how: str, *, is_first: bool) -> str:
    """How written labels get to those that are there; `how` the new ones are corrected.

    Tools that correct labels beside photos want them copied before.
    """
    if join.complete and not join.photos:
        return f"correct the labels in {quote(join.place)} ({join.there} have some), which stay"
    if join.there:
        how += f"; {join.there} have labels in {quote(join.place)}, which stay"
    if join.listed:
        how += f"; names that are in no list go into {join.listed}"
    if join.apart:
        how += f"; below they are learnt from alone, docs/predict.md joins them to {join.apart}"
    if not Path(join.place).is_dir() and join.place != "LABELLED":
        how += f"; {quote(join.place)} is where the tars are unpacked"
    pairs = [*([join.photos] if join.photos else []), (join.written, join.place)]
    copy = "\n".join(f"cp -rn {quote(one)}/. {quote(other)}" for one, other in pairs)
    return f"{how}\n{copy}" if is_first else f"{copy}\n{how}"


def _changes(made: TransferRecipe, model: Path, form: str) -> list[str]:
    """What of a model's recipe doesn't hold for the new labels."""
    words = [] if _is_there(made) else [*_backbone(made, model), "backbone_sha256=null"]
    if made.labels is not None:
        words.append("labels=null")  # all of them; "all" would be a grid of one
    if made.val_photos is not None:
        words.append("val_photos=null")  # of other photos
    if isinstance(made.task, DetectionRecipe):
        words.append("task.detector.masks=auto")
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
