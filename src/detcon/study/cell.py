"""A cell of a study: one pretraining and one transfer, complete to the last setting.

Names stand where recipes have paths, so that settings are the same on every machine.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from detcon.config import Recipe, RecipeError, fingerprint, in_part, load_recipe, nearest
from detcon.downstream.recipe import TransferRecipe
from detcon.masks.sources import AnySource
from detcon.methods.recipe import TeacherRecipe
from detcon.pretraining.recipe import PretrainRecipe, WeightsRecipe
from detcon.results.recipe import deciding_settings
from detcon.study import StudyError
from detcon.study.grid import Point, points
from detcon.study.recipe import Data, Folder, StudyRecipe

Sources = WeightsRecipe | TeacherRecipe

PRETRAINED = "pretrained"
"""As the backbone of a transfer: the one that the cell pretrains."""

SUPERVISED = "supervised"
"""As the backbone of a transfer: the encoder that the cell's `supervise` trains with labels."""


def of_part(part: str, model: type[Recipe]) -> AbstractContextManager[None]:
    """Within, settings of a part of the study are named as the study has them."""
    return in_part(model, lambda name: "work" if name == "out" else f"{part}.{name}")


class CellSettings(Recipe):
    """Everything that decides a cell's result, except the pixels of the user's folders."""

    pretrain: PretrainRecipe | None = None
    supervise: TransferRecipe | None = None
    images: Data | None = None
    masks: AnySource | None = None
    transfer: TransferRecipe
    data: Data

    def deciding(self) -> dict[str, Any]:
        """The settings that tell two cells apart, by dotted name.

        A backbone that was trained brings its own architecture: then `transfer.encoder` is unused.
        """
        values = self.model_dump(mode="json")
        if self.transfer.backbone in (PRETRAINED, SUPERVISED):
            values["transfer"]["encoder"] = None
        return deciding_settings(values)


@dataclass(frozen=True)
class Cell:
    """One pretraining and one transfer, with the name of its first point.

    `points` are the points of the grid with these settings, as values of the axes.
    """

    name: str
    points: tuple[Mapping[str, Any], ...]
    settings: CellSettings

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint of all settings that decide the result."""
        return fingerprint(self.settings.deciding())

    @cached_property
    def pretraining(self) -> str | None:
        """The fingerprint of the pretraining, which cells may share; None without pretraining."""
        if self.settings.pretrain is not None:
            own = {"pretrain", "images", "masks"}
        elif self.settings.supervise is not None:
            own = {"supervise", "images"}
        else:
            return None
        parts = self.settings.model_dump(mode="json", include=own)
        return fingerprint(deciding_settings(parts))

    @property
    def data(self) -> tuple[str, ...]:
        """The names of the data that it needs."""
        chosen = self.settings
        names = [chosen.transfer.data]
        names += [chosen.pretrain.images] if chosen.pretrain else []
        names += [chosen.supervise.data] if chosen.supervise else []
        return tuple(dict.fromkeys(names))

    @property
    def weights(self) -> tuple[str, ...]:
        """The sources of weights that it starts from or judges; names of the study, or others."""
        chosen = self.settings
        sources = [one.source for one in read_by(chosen.pretrain)] if chosen.pretrain else []
        if chosen.transfer.backbone not in (PRETRAINED, SUPERVISED, "random"):
            sources.append(chosen.transfer.backbone)
        return tuple(sources)

    @property
    def pairs(self) -> int:
        """Pairs of views that the pretraining sees, or crops where it has labels."""
        chosen = self.settings
        trained = chosen.pretrain or (chosen.supervise and chosen.supervise.task)
        return (getattr(trained, "steps", None) or 0) * getattr(trained, "batch_size", 0)


def read_by(recipe: PretrainRecipe) -> list[Sources]:
    """The weights that a pretraining reads: those it starts from, and those of a teacher."""
    return [one for one in (recipe.weights, getattr(recipe.method, "teacher", None)) if one]


def with_weights(recipe: PretrainRecipe, change: Callable[[Any], Sources]) -> PretrainRecipe:
    """A pretraining that reads other weights: what `change` makes of those that it reads."""
    if recipe.weights:
        recipe = recipe.model_copy(update={"weights": change(recipe.weights)})
    if teacher := getattr(recipe.method, "teacher", None):
        method = recipe.method.model_copy(update={"teacher": change(teacher)})
        recipe = recipe.model_copy(update={"method": method})
    return recipe


def make_cells(study: StudyRecipe) -> list[Cell]:
    """The cells of a study, each once: points with the same settings are one cell.

    Random weights have no budget and SimCLR has no masks: their points along these axes are one.
    """
    cells: dict[str, Cell] = {}
    loader = _Loader()
    for point in points(study):
        cell = Cell(point.name, (point.values,), _settings(study, point, loader))
        before = cells.get(cell.fingerprint)
        if before is not None:
            cell = replace(before, points=(*before.points, point.values))
        cells[cell.fingerprint] = cell
    return list(cells.values())


class _Loader:
    """Loads recipes, equal settings once: a study has far fewer than cells."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[type, str], Any] = {}

    def load(self, model: type[Any], settings: dict[str, Any], part: str, point: Point) -> Any:
        recipe = settings.pop("recipe", None)
        key = model, repr((recipe, settings))
        if key not in self._loaded:
            try:
                with of_part(part, model):
                    whole = {**settings, "out": "OUT"}
                    self._loaded[key] = load_recipe(model, recipe, whole, part=part)
            except RecipeError as error:
                raise RecipeError(f"in the cell {point.name}: {error}") from error
        return self._loaded[key]


def _settings(study: StudyRecipe, point: Point, loader: _Loader) -> CellSettings:
    # `label_free` of the study measures the finished backbones; watching each run costs more
    usual = {"images": next(iter(study.data)), "label_free": None}
    pretrain = {**usual, **study.pretrain, **_of("pretrain.", point)}
    transfer = {"data": next(iter(study.data)), "backbone": PRETRAINED, **study.transfer}
    transfer |= _of("transfer.", point)
    chosen = loader.load(PretrainRecipe, pretrain, "pretrain", point)
    if transfer["backbone"] == "random":
        transfer = {"encoder": chosen.encoder, **transfer}
    judged = loader.load(TransferRecipe, transfer, "transfer", point)
    data = _known(study.data, judged.data, "transfer.data", point)
    if judged.backbone == SUPERVISED:
        supervise = {"data": next(iter(study.data)), "backbone": "random"}
        supervise |= {"encoder": chosen.encoder, **study.supervise, **_of("supervise.", point)}
        taught = loader.load(TransferRecipe, supervise, "supervise", point)
        images = _known(study.data, taught.data, "supervise.data", point)
        return CellSettings(
            supervise=taught, images=_anywhere(images), transfer=judged, data=_anywhere(data)
        )
    if judged.backbone != PRETRAINED:
        return CellSettings(transfer=judged, data=_anywhere(data))
    if chosen.steps is None:
        raise StudyError(f"the cell {point.name} has no length; give pretrain.steps")
    images, masks = _known(study.data, chosen.images, "pretrain.images", point), None
    if hasattr(chosen.method, "num_regions"):
        if chosen.masks is not None or chosen.discovery is None:
            masks = _known(study.masks, chosen.masks, "pretrain.masks", point)
        if chosen.images in study.overlap:
            _known(study.masks, study.overlap[chosen.images], f"overlap.{chosen.images}", point)
    chosen = chosen.model_copy(update={} if masks is not None else {"masks": None})
    digests = {name: {"digest": one.digest} for name, one in study.weights.items() if one.digest}
    chosen = with_weights(chosen, lambda one: one.model_copy(update=digests.get(one.source, {})))
    photos, data = _anywhere(images), _anywhere(data)
    return CellSettings(pretrain=chosen, images=photos, masks=masks, transfer=judged, data=data)


def _of(part: str, point: Point) -> dict[str, Any]:
    return {
        name.removeprefix(part): value
        for name, value in point.settings.items()
        if name.startswith(part)
    }


def _known(named: Mapping[str, Any], name: str | None, setting: str, point: Point) -> Any:
    if name is not None and name in named:
        return named[name]
    what = "masks" if setting.startswith(("pretrain.masks", "overlap.")) else "data"
    given = f"'{name}'" if name is not None else "nothing"
    raise StudyError(
        f"{setting} of the cell {point.name} is {given}, but must be one of the study's "
        f"{what}{nearest(str(name), named)}"
    )


def _anywhere(data: Data) -> Data:
    """The data without the folder's path, which differs between machines."""
    return Folder() if isinstance(data, Folder) else data
