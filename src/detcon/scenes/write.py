"""Writing folders of scenes: rendered, or composed of cut-outs on backgrounds."""

import itertools
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from detcon.config import Recipe, load_recipe
from detcon.files import write_whole
from detcon.formats.registry import FormatName, find_format, formats_with, open_layout
from detcon.formats.writing.scenes import Layout, ScenePicture, ScenesPlan
from detcon.photos import Photos, open_photos
from detcon.progress import with_progress
from detcon.results.inputs import (
    INPUTS,
    Inventory,
    photos_inventory,
    read_inputs,
    take_inventory,
    what_changed,
    write_inputs,
)
from detcon.results.recipe import RECIPE, differences, read_recipe
from detcon.scenes.compose import compose_scene
from detcon.scenes.cutouts import Cutouts, open_cutouts, split_backgrounds, split_cutouts
from detcon.scenes.raycast import CLASSES, render_scene
from detcon.scenes.stage import SOLIDS
from detcon.workers import in_order, num_cores

_MIN_VAL = 8
_MOST_OBJECTS = 200  # VOC's maps have 254 ids
_MOST_SOLIDS = 40  # more don't fit into a room
_PICTURES_A_JOB = 8
_PIXELS_A_WORKER = 2**19  # in a second or two: with fewer a process doesn't earn back its start
_VAL_SEEDS = 2**63  # added to the seed for val, out of reach of any seed for train


class ScenesError(ValueError):
    """A folder that scenes can't be written to."""


class ScenesRecipe(Recipe):
    """Settings of a folder of rendered scenes, or of composites."""

    out: str = Field(description="folder to make, or to continue")
    num: int = Field(default=2000, ge=1, description="training pictures; val gets a tenth as many")
    size: int = Field(default=160, ge=32, le=4096, description="height and width in pixels")
    seed: int = Field(default=0, ge=0, lt=_VAL_SEEDS, description="of the random numbers")
    workers: int = Field(default_factory=num_cores, ge=1, description="processes at once")
    format: FormatName = Field(
        default="folder",
        description="layout of the files: a labelled folder with all labels, or that of COCO 2017, "
        "VOC 2012 with SBD, Cityscapes or NYU-Depth v2 as they are downloaded",
    )
    solids: tuple[int, int] = Field(
        default=SOLIDS, description="rendered scenes: least and most solids, if there is room"
    )
    cutouts: str | None = Field(
        default=None,
        description="compose: a folder of PNG cut-outs with alpha; its sub-folders are classes",
    )
    backgrounds: str | None = Field(
        default=None, description="compose: a folder of photos to paste on"
    )
    objects: tuple[int, int] = Field(default=(2, 6), description="compose: least and most objects")
    holdout: Literal["none", "backgrounds", "cutouts", "both"] = Field(
        default="none", description="compose: what a fifth is held out of, for val only"
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "ScenesRecipe":
        if (self.cutouts is None) != (self.backgrounds is None):
            given, missing = "cutouts", "backgrounds"
            if self.cutouts is None:
                given, missing = missing, given
            raise ValueError(
                f"'{given}' needs '{missing}' too: composites are cut-outs on backgrounds; "
                f"give {missing}=DIR, or neither for rendered scenes"
            )
        if self.holdout != "none" and self.cutouts is None:
            raise ValueError(
                f"holdout={self.holdout} is for composites; give cutouts=DIR backgrounds=DIR too"
            )
        if find_format(self.format).layout is None:
            raise ValueError(
                f"'format' cannot be '{self.format}': scenes are written as "
                f"{formats_with(lambda one: one.layout)}"
            )
        if self.format == "nyu" and self.cutouts is not None:
            raise ValueError(
                "format=nyu is for rendered scenes, since composites have no depth; leave cutouts "
                "and backgrounds out, or choose another format"
            )
        if self.format != "folder" and self.objects[1] > _MOST_OBJECTS:
            raise ValueError(
                f"format={self.format} has room for {_MOST_OBJECTS} objects in a picture, but "
                f"'objects' is {list(self.objects)}; give fewer, or choose format=folder"
            )
        if not 1 <= self.objects[0] <= self.objects[1]:
            raise ValueError(
                f"'objects' must be the least and the most objects, as in [2, 6], "
                f"got {list(self.objects)}"
            )
        if not 1 <= self.solids[0] <= self.solids[1] <= _MOST_SOLIDS:
            raise ValueError(
                f"'solids' must be the least and the most of them, {_MOST_SOLIDS} at most, as in "
                f"[3, 8], got {list(self.solids)}"
            )
        return self


Materials = tuple[Cutouts, Photos]  # of a split of composites


def make_scenes(recipe: str | Path | ScenesRecipe | None = None, /, **overrides: Any) -> Path:
    """Makes a folder of pictures with exact labels, for training and for validation.

    Called again after an interruption, it continues where it stopped. Files are the same, byte for
    byte, for any number of workers or interruptions.

    Args:
        recipe: A recipe, its YAML file or name, or None for the defaults.
        overrides: Values to lay over it, as on the command line: `out`, `num`, `size`, `seed`,
            `workers`, `format`, `solids`, `cutouts`, `backgrounds`, `objects`, `holdout`.

    Returns:
        The folder, with `train` and `val` in it.

    Raises:
        RecipeError: If the recipe is wrong.
        ScenesError: If `out` holds something else, or scenes made in another way.
        FormatError: If the format has no room for all the classes.
        CutoutsError: If the cut-outs can't be used.
        PhotosError: If there are no backgrounds.
        UnreadablePhoto: If a background can't be decoded.
    """
    settings = load_recipe(ScenesRecipe, recipe, overrides)
    folder = Path(settings.out)
    names, materials, inputs = _materials(settings)
    plan = ScenesPlan(names, num_train=settings.num, has_depth=settings.cutouts is None)
    layout = open_layout(folder, settings.format, plan)
    _begin(settings, folder, inputs)
    numbers = (settings.num, max(_MIN_VAL, settings.num // 10))
    seeds = (settings.seed, settings.seed + _VAL_SEEDS)
    for split, num, seed, parts in zip(("train", "val"), numbers, seeds, materials, strict=True):
        draw = partial(draw_picture, settings, seed, parts)
        starts = range(0, num, _PICTURES_A_JOB)
        jobs = [range(n, min(n + _PICTURES_A_JOB, num)) for n in starts]
        make = partial(make_pictures, layout, split, draw)
        worth = max(1, num * settings.size**2 // _PIXELS_A_WORKER)
        workers = min(settings.workers, len(jobs), worth)
        with closing(in_order(make, jobs, num_workers=workers)) as made:
            records = itertools.chain.from_iterable(made)
            images = with_progress(records, f"scenes for {split}", num, words="pictures")
            layout.finish(split, list(images))
    return folder


def _begin(settings: ScenesRecipe, folder: Path, inputs: Mapping[str, Inventory]) -> None:
    """Makes the folder, or checks that scenes with the same settings were begun there.

    Settings that an earlier version didn't have, and didn't write down, count as their defaults.
    `inputs` are the cut-outs and backgrounds: classes are numbered by them.
    """
    without = {"out", "workers"}
    values = settings.model_dump(mode="json", exclude=without)
    if saved := read_recipe(folder):
        defaults = ScenesRecipe(out=settings.out).model_dump(mode="json", exclude=without)
        if differing := differences({**defaults, **saved.values}, values):
            raise ScenesError(
                f"the folder {folder} holds other scenes: {', '.join(differing)}; choose another "
                f"out=, or remove the folder"
            )
    elif folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ScenesError(
            f"cannot write scenes to {folder}: it holds something else; choose another out="
        )
    pictures = folder.is_dir() and any(one.name not in (RECIPE, INPUTS) for one in folder.iterdir())
    for name, before in read_inputs(folder).items() if pictures else ():
        if changed := what_changed(before, inputs[name], same_place=False):
            raise ScenesError(
                f"{name}={getattr(settings, name)} has changed since {folder} was begun "
                f"({changed}); choose another out=, or remove the folder"
            )
    folder.mkdir(parents=True, exist_ok=True)
    if inputs:
        write_inputs(folder, inputs)
    write_whole(folder / RECIPE, yaml.safe_dump(values, sort_keys=False, width=100).encode())


def draw_picture(
    settings: ScenesRecipe, seed: int, materials: Materials | None, number: int
) -> ScenePicture:
    """Renders or composes a picture."""
    if materials is None:
        return render_scene(seed, number, settings.size, settings.solids)
    return compose_scene(*materials, seed, number, settings.size, settings.objects)


def make_pictures(
    layout: Layout, split: str, draw: Callable[[int], ScenePicture], numbers: range
) -> list[dict[str, Any]]:
    """Makes and writes pictures, unless they are there; returns their records for the index."""
    found = ((n, layout.find(split, n)) for n in numbers)
    return [layout.save(split, n, draw(n)) if old is None else old for n, old in found]


def _materials(
    settings: ScenesRecipe,
) -> tuple[tuple[str, ...], tuple[Materials | None, Materials | None], dict[str, Inventory]]:
    """The names of the classes, the materials of train and of val, and inventories of both."""
    if settings.cutouts is None or settings.backgrounds is None:
        return CLASSES, (None, None), {}
    cutouts, backgrounds = open_cutouts(settings.cutouts), open_photos(settings.backgrounds)
    pieces, photos = (cutouts, cutouts), (backgrounds, backgrounds)
    if settings.holdout in ("cutouts", "both"):
        pieces = split_cutouts(cutouts)
    if settings.holdout in ("backgrounds", "both"):
        photos = split_backgrounds(backgrounds)
    train, val = zip(pieces, photos, strict=True)
    inputs = {
        "cutouts": replace(take_inventory(settings.cutouts), newest=""),  # the same on all machines
        "backgrounds": photos_inventory(backgrounds),
    }
    return ("background", *cutouts.names), (train, val), inputs
