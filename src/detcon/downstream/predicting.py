"""Runs a finished model on photos: predictions as files, and drawn next to the photos."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from rich.console import Console

from detcon.config import load_recipe
from detcon.data.labelled.examples import watched
from detcon.downstream.model_file import Model, load_model
from detcon.downstream.pictures import write_png
from detcon.downstream.recipe import PredictRecipe
from detcon.photos import Photos, UnreadablePhoto, open_photos, shown
from detcon.train.environment import open_fabric
from detcon.train.run import open_run


def predict(recipe: str | Path | PredictRecipe | None = None, /, **overrides: Any) -> Path:
    """Writes a model's prediction for each photo, at the photo's own size.

    Segmentation gives `labels/*.png` with class ids, detection `predictions.json` in COCO's result
    format, depth `depth/*.png` in thousandths of a metre, classification `classes.csv`; all of
    them `drawn/*.png`. A photo that can't be read is skipped and reported.

    Args:
        recipe: A recipe, its YAML file or name, or None for the defaults.
        **overrides: Settings by name, as on the command line.

    Returns:
        The folder.

    Raises:
        ValueError: A model, photos or a folder that don't fit; the sentence says which.
        OSError: A disk that is full or can't be written.
    """
    settings = load_recipe(PredictRecipe, recipe, overrides)
    model = load_model(settings.model)
    photos = open_photos(settings.images, model.in_channels)
    _refuse_equal_names(photos, settings.images)
    run = open_run(Path(settings.out), settings)
    if run.finished:
        return run.folder
    model.to(open_fabric("32", settings.accelerator).device)
    unreadable: list[str] = []
    found = _predictions(model, photos, run.folder if settings.draw else None, unreadable)
    model.task.save(found, run.folder, model.names)
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    for sentence in unreadable:
        say(f"skipped: {sentence}", markup=False)
    run.finish()
    return run.folder


def _refuse_equal_names(photos: Photos, images: str) -> None:
    """Refuses photos that differ in the format alone: their predictions would be one PNG."""
    first: dict[PurePosixPath, str] = {}
    for key in photos.keys:
        name = PurePosixPath(key).with_suffix("")
        if name in first:
            raise ValueError(
                f"images={images} holds {first[name]} and {key}, whose predictions would be one "
                f"file, {name}.png; rename one of them, or list the photos you want in a file"
            )
        first[name] = key


def _predictions(
    model: Model, photos: Photos, folder: Path | None, unreadable: list[str]
) -> Iterator[tuple[str, Any]]:
    """Yields keys and predictions, and draws each into `folder`."""
    for key in watched(photos.keys, "predicting"):
        try:
            photo = photos.read(key)
        except UnreadablePhoto as error:
            unreadable.append(str(error))
            continue
        prediction = model.predict(photo)
        if folder is not None:
            drawn = model.task.draw(photo, prediction, model.names)
            name = PurePosixPath(key).with_suffix(".png")
            write_png(folder / "drawn" / name, np.concatenate([shown(photo), drawn], axis=1))
        yield key, prediction
