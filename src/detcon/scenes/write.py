"""Writing folders of scenes: rendered, or composed of cut-outs on backgrounds."""

import itertools
from contextlib import closing
from dataclasses import dataclass
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
from detcon.scenes.compose import compose_scene
from detcon.scenes.cutouts import Cutouts, open_cutouts, split_backgrounds, split_cutouts
from detcon.scenes.raycast import CLASSES, render_scene
from detcon.scenes.stage import SOLIDS
from detcon.workers import in_order, num_cores

_MIN_VAL = 8
_MOST_OBJECTS = 200  # VOC's maps have 254 ids
_MOST_SOLIDS = 40  # more don't fit into a room
_PICTURES_A_JOB = 8
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
        default=SOLIDS,
        description="rendered scenes: least and most solids, if there is room",
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
        default="none", description="compose: of what a fifth is used in val only"
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


@dataclass(frozen=True)
class Materials:
    """Cut-outs and backgrounds of a split of composites."""

    cutouts: Cutouts
    backgrounds: Photos
    objects: tuple[int, int]


@dataclass(frozen=True)
class Split:
    """Train or val: everything that a worker needs to make its pictures."""

    name: str
    layout: Layout
    num: int
    size: int
    seed: int
    solids: tuple[int, int]
    materials: Materials | None

    def draw(self, number: int) -> ScenePicture:
        """Renders or composes a picture."""
        if self.materials is None:
            scene = render_scene(self.seed, number, self.size, self.solids)
            return ScenePicture(scene.rgb, scene.instances, scene.labels, scene.depth)
        parts = self.materials
        composite = compose_scene(
            parts.cutouts, parts.backgrounds, self.seed, number, self.size, parts.objects
        )
        return ScenePicture(composite.rgb, composite.instances, composite.labels, None)


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
    splits = _splits(settings)
    _begin(settings)
    for split in splits:
        _make(split, settings.workers)
    return Path(settings.out)


def _begin(settings: ScenesRecipe) -> None:
    """Makes the folder, or checks that scenes with the same settings were begun there.

    Settings that an earlier version didn't have, and didn't write down, count as their defaults.
    """
    folder, without = Path(settings.out), {"out", "workers"}
    values = settings.model_dump(mode="json", exclude=without)
    path = folder / "recipe.yaml"
    if path.is_file():
        defaults = ScenesRecipe(out=settings.out).model_dump(mode="json", exclude=without)
        before = defaults | _read_recipe(path)
        for name in {**values, **before}:
            if before.get(name) != values.get(name):
                raise ScenesError(
                    f"the folder {folder} holds scenes made with {name}={before.get(name)}, but "
                    f"{name}={values.get(name)} was asked for; choose another out=, or remove the "
                    f"folder"
                )
    elif folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ScenesError(
            f"cannot write scenes to {folder}: it holds something else; choose another out="
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, yaml.safe_dump(values, sort_keys=False, width=100).encode())


def _read_recipe(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        values = None
    if not isinstance(values, dict):
        raise ScenesError(
            f"cannot go on with the scenes in {path.parent}: {path} is damaged; choose another "
            f"out=, or remove the folder"
        )
    return values


def make_pictures(split: Split, numbers: range) -> list[dict[str, Any]]:
    """Makes and writes pictures, unless they are there; returns their records for the index."""
    records = []
    for number in numbers:
        record = split.layout.find(split.name, number)
        if record is None:
            record = split.layout.save(split.name, number, split.draw(number))
        records.append(record)
    return records


def _splits(settings: ScenesRecipe) -> list[Split]:
    names, materials = _materials(settings)
    plan = ScenesPlan(names, num_train=settings.num, has_depth=settings.cutouts is None)
    layout = open_layout(Path(settings.out), settings.format, plan)
    num_val = max(_MIN_VAL, settings.num // 10)
    shape = (
        ("train", settings.num, settings.seed, materials[0]),
        ("val", num_val, settings.seed + _VAL_SEEDS, materials[1]),
    )
    return [
        Split(name, layout, num, settings.size, seed, settings.solids, parts)
        for name, num, seed, parts in shape
    ]


def _materials(
    settings: ScenesRecipe,
) -> tuple[tuple[str, ...], tuple[Materials | None, Materials | None]]:
    """The names of the classes, and the materials of train and of val."""
    if settings.cutouts is None or settings.backgrounds is None:
        return CLASSES, (None, None)
    cutouts, backgrounds = open_cutouts(settings.cutouts), open_photos(settings.backgrounds)
    pieces, photos = (cutouts, cutouts), (backgrounds, backgrounds)
    if settings.holdout in ("cutouts", "both"):
        pieces = split_cutouts(cutouts)
    if settings.holdout in ("backgrounds", "both"):
        photos = split_backgrounds(backgrounds)
    train, val = (Materials(*parts, settings.objects) for parts in zip(pieces, photos, strict=True))
    return ("background", *cutouts.names), (train, val)


def _make(split: Split, workers: int) -> None:
    starts = range(0, split.num, _PICTURES_A_JOB)
    jobs = [range(n, min(n + _PICTURES_A_JOB, split.num)) for n in starts]
    make = partial(make_pictures, split)
    with closing(in_order(make, jobs, num_workers=min(workers, len(jobs)))) as made:
        records = itertools.chain.from_iterable(made)
        title = f"scenes for {split.name}"
        images = list(with_progress(records, title, split.num, words="pictures"))
    split.layout.finish(split.name, images)
