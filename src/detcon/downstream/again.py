"""What comes after predictions: how to correct them, and to learn their model's task again."""

from pathlib import Path
from shlex import quote

from detcon.config import shown
from detcon.downstream.model_file import find_model, settings_of
from detcon.downstream.recipe import PredictRecipe, TransferRecipe
from detcon.downstream.tasks.detection.recipe import DetectionRecipe
from detcon.downstream.tasks.own.recipe import OwnRecipe
from detcon.photos import Names, open_photos
from detcon.results.recipe import RECIPE

_CORRECT = {  # and the data to learn from
    "labelme": (
        "cp -rn {out}/labelme/. {images}, correct them there in LabelMe, and learn from them",
        "{images}",
    ),
    "voc_xml": (
        "cp -rn {out}/voc_xml/. {images}, correct them there, as in LabelImg, and learn from them",
        "{images}",
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
    joins = made.format == settings.format and Path(made.data).is_dir()
    out, images = quote(settings.out), quote(_folder(settings.images))
    data = quote(made.data) if joins else "LABELLED"
    how, data = (one.format(out=out, images=images, data=data) for one in _CORRECT[settings.format])
    recipe = model.with_name(RECIPE)
    is_new_task = settings.format == "voc_xml" and not isinstance(made.task, DetectionRecipe)
    if recipe.is_file() and not is_new_task:
        words = [quote(str(recipe)), *_changes(made, model, settings.format)]
    else:
        words = [*_task(made, is_new_task), *_backbone(made, model)]
    words += [f"data={data}", f"format={settings.format}"]
    if settings.format != "folder":
        words.append("val=0.2")
    return f"{how}: detcon transfer {' '.join(words)} out={out}-learnt"


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
