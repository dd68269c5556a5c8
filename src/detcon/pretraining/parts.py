"""The parts of a pretraining: its network, and its batches of photos and masks."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from detcon.config import RecipeError
from detcon.data.batch import Batch
from detcon.data.classes import read_classes
from detcon.data.dataset import MasksOfPhotos, PhotoViews
from detcon.data.loader import batches, steps_per_epoch
from detcon.downstream.label_free import LabelFreeFigures
from detcon.downstream.probing import PeriodicProbe
from detcon.masks.store import MaskStore
from detcon.methods.compositions import (
    byol,
    detcon_b,
    detcon_s,
    region_distillation,
    simclr,
    supervised,
)
from detcon.methods.method import Method
from detcon.methods.recipe import (
    DetConB,
    DetConS,
    RegionDistillation,
    Supervised,
    WithMasks,
    WithTarget,
    num_groups,
)
from detcon.methods.towers import Teacher, Tower
from detcon.models.backbone_file import Backbone
from detcon.models.encoders import build_encoder, feature_grid
from detcon.photos import Photos
from detcon.pretraining.discovery import Discoverer
from detcon.pretraining.recipe import PretrainRecipe
from detcon.train.environment import is_first_rank, ranks

MEASUREMENTS = 10
"""Without labels in a run, besides that of the start, unless `label_free.every` is given."""


@dataclass
class Parts:
    """The parts of a pretraining.

    Attributes:
        settings: The whole recipe.
        photos: The collection, with the photos that can't be read.
        grid: Rows and columns of the encoder's features.
        teacher_grid: Those of the teacher's; None without one.
        method: The network that learns, its target and its objective.
        views: The current views; None before the network has found masks.
        discoverer: Finds masks before each round of updates; None if they are given.
        steps: Updates in all.
        num_photos: How many photos are used.
        probe: Measures the encoder regularly; None without `probing`, and on all ranks but the
            first, which wait while it measures.
        label_free: The same without labels.
    """

    settings: PretrainRecipe
    photos: Photos
    grid: tuple[int, int]
    teacher_grid: tuple[int, int] | None
    method: Method
    views: PhotoViews | None
    discoverer: Discoverer | None
    steps: int
    num_photos: int
    probe: PeriodicProbe | None
    label_free: LabelFreeFigures | None

    def batches(self, first_step: int) -> Iterator[Batch]:
        """Yields this rank's share of the batches from a step on, in rounds.

        With discovery, the network finds new masks before each round. The loop asks for a batch
        only when all updates before it are made. So masks are found by the network as it is at
        that moment, and no worker makes views of the next round ahead of time.

        Raises:
            StoreError: If the masks of the round that `first_step` belongs to are gone.
            TooManyUnreadable: If too many photos couldn't be read to find their masks.
            ValueError: As `detcon.data.loader.batches`.
        """
        settings, share = self.settings, ranks()
        every = self.steps if settings.discovery is None else settings.discovery.every
        while first_step < self.steps:
            begin = first_step // every * every
            end = min(begin + every, self.steps)
            yield from batches(
                self._views(begin, first_step),
                batch_size=settings.batch_size,
                seed=settings.seed,
                first_step=first_step,
                num_steps=end,
                workers=settings.workers,
                rank=share.rank,
                world=share.world,
            )
            first_step = end

    def measure_every(self) -> int | None:
        """The updates from one measurement to the next; None without any.

        Without labels there are ten, unless the recipe says otherwise, and fewer where they would
        take longer than the updates.
        """
        settings = self.settings
        if settings.probing is not None:
            return settings.probing.every
        if settings.label_free is None:
            return None
        once = -(-self.passes_to_measure() // passes_of_a_step(settings))
        return settings.label_free.every or max(-(-self.steps // MEASUREMENTS), once)

    def passes_to_measure(self) -> int:
        """The views that pass the encoder in a measurement without labels."""
        watch = self.settings.label_free
        return 0 if watch is None else min(watch.photos, self.num_photos) * (watch.views + 1)

    def names(self, batch: Batch) -> list[str]:
        """The photos of the last batch."""
        assert self.views is not None, "a batch has come"
        return [str(self.views.keys[i]) for i in batch.index.tolist()]

    def _views(self, begin: int, step: int) -> PhotoViews:
        """The views of the round that begins at step `begin`; `step` is the next one."""
        if self.discoverer is not None and (begin or self.views is None):
            self.views = None  # its photos in memory can go
            masks = MaskStore(self.discoverer.masks(begin, step))
            self.views = open_views(
                self.settings, self.photos, self.grid, teacher_grid=self.teacher_grid, masks=masks
            )
        assert self.views is not None, "there are masks, or a network that finds them"
        return self.views


def open_parts(
    settings: PretrainRecipe,
    folder: Path,
    photos: Photos,
    start: nn.Module | None = None,
    taught_by: Backbone | None = None,
) -> Parts:
    """Opens masks and labels, and builds the network. Reads no photo yet.

    `start` is an encoder with weights to start from; None for fresh ones. `taught_by` is the
    teacher of a region distillation.

    Raises:
        ValueError: Photos, masks, labels or settings that don't fit; the sentence says which.
    """
    classes, num_classes = _classes(settings, photos)
    probe = None
    if settings.probing is not None and is_first_rank():
        probe = PeriodicProbe(
            settings.probing,
            settings.encoder,
            normalisation=settings.normalisation,
            seed=settings.seed,
        )
    torch.manual_seed(settings.seed)  # of the weights
    encoder = build_encoder(settings.encoder, run_own=True) if start is None else start
    teacher = None if taught_by is None else _teacher(settings, taught_by)
    method = build_method(settings, encoder, num_classes, teacher)
    side = settings.views.size
    grid = feature_grid(encoder, side)
    teacher_grid = None if teacher is None else feature_grid(teacher.encoder, teacher.size or side)
    views, discoverer = None, None
    if settings.discovery is None or settings.masks is not None:
        views = open_views(settings, photos, grid, teacher_grid=teacher_grid, classes=classes)
    num_photos = len(photos if views is None else views)
    steps = settings.steps
    if steps != 0:
        epoch = steps_per_epoch(num_photos, settings.batch_size)  # refuses too few photos
        steps = settings.epochs * epoch if steps is None else steps
    if settings.discovery is not None:  # with the average of the network, where there is one
        tower = method.target if isinstance(method.target, Tower) else method.online
        left_out = () if views is None else views.left_out
        discoverer = Discoverer(
            settings, settings.discovery, photos, tower.encoder, folder, steps, left_out
        )
    masks = None if views is None else views.store
    label_free = open_label_free(settings, photos, masks, encoder)
    return Parts(
        settings, photos, grid, teacher_grid, method, views, discoverer, steps, num_photos, probe,
        label_free,
    )  # fmt: skip


def open_label_free(
    settings: PretrainRecipe, photos: Photos, masks: MasksOfPhotos | None, start: nn.Module
) -> LabelFreeFigures | None:
    """What measures without labels, on the first rank; None where the recipe asks for nothing.

    Without masks, as where the network is to find them, regions are cells of the grid.
    """
    if settings.label_free is None or not is_first_rank():
        return None
    return LabelFreeFigures(
        settings.label_free,
        settings.encoder,
        start=start,
        photos=photos,
        masks=masks,
        views=settings.views,
        normalisation=settings.normalisation,
        seed=settings.seed,
        max_side=settings.max_side,
    )


def build_method(
    settings: PretrainRecipe,
    encoder: nn.Module,
    num_classes: int = 0,
    teacher: Teacher | None = None,
) -> Method:
    """Composes the method that a recipe names around an encoder."""
    method, normalisation = settings.method, settings.normalisation
    if isinstance(method, Supervised):
        return supervised(
            encoder,
            num_classes=num_classes,
            label_smoothing=method.label_smoothing,
            normalisation=normalisation,
        )
    make = {"detcon_s": detcon_s, "detcon_b": detcon_b, "simclr": simclr}
    options = method.model_dump(exclude={"kind", "num_regions", "ema", "negatives", "teacher"})
    if (groups := num_groups(method)) is not None:
        options["num_groups"] = groups // settings.accumulate
    if isinstance(method, RegionDistillation):
        assert teacher is not None, "open_teacher loads it"
        return region_distillation(encoder, teacher, **options, normalisation=normalisation)
    if isinstance(method, DetConS | DetConB):
        options["own_view"] = settings.views.second == "own"
    if isinstance(method, WithTarget):
        options["same_start"] = settings.weights is not None
    return make.get(method.kind, byol)(encoder, **options, normalisation=normalisation)


def open_views(
    settings: PretrainRecipe,
    photos: Photos,
    grid: tuple[int, int],
    *,
    teacher_grid: tuple[int, int] | None = None,
    masks: MaskStore | None = None,
    classes: dict[str, int] | None = None,
) -> PhotoViews:
    """The views of a recipe's photos, with the regions that its method needs.

    Args:
        settings: The whole recipe.
        photos: The photos that `settings.images` names.
        grid: Rows and columns of the encoder's features, for the regions.
        teacher_grid: Those of a teacher's features.
        masks: Masks to use instead of those that the recipe names.
        classes: The class of each photo by key, for supervised pretraining.

    Raises:
        RecipeError: If the method needs masks, and there are none.
    """
    method = settings.method
    views = PhotoViews(
        photos,
        open_masks(settings) if masks is None else masks,
        settings.views,
        num_views=1 if isinstance(method, Supervised) else 2,
        num_regions=getattr(method, "num_regions", 1),
        grid=grid,
        teacher_grid=teacher_grid,
        seed=settings.seed,
        classes=classes,
        max_side=settings.max_side,
        pass_over=settings.max_unreadable > 0,
    )
    if len(views) and num_without_masks(views) == len(views):
        assert isinstance(views.store, MaskStore)
        raise RecipeError(
            f"none of the {len(views):,} photos in {photos.source} has a mask in "
            f"{views.store.folder}, so there is nothing to learn; make other masks ('detcon show' "
            f"draws them), or give method.kind=simclr or byol, which need none"
        )
    return views


def _teacher(settings: PretrainRecipe, backbone: Backbone) -> Teacher:
    assert isinstance(settings.method, RegionDistillation)
    size = settings.method.teacher.size
    return Teacher(backbone.encoder, backbone.normalisation, size=size)


def passes_of_a_step(settings: PretrainRecipe) -> int:
    """The views that pass the encoder in an update; one that passes backward counts as two."""
    return settings.batch_size * 2 * 3


def num_without_masks(views: PhotoViews) -> int:
    """How many photos have an entry in the store, but not a single mask."""
    if not isinstance(views.store, MaskStore):
        return 0
    empty = set(views.store.empty())
    return sum(key in empty for key in views.keys) if empty else 0


def open_masks(settings: PretrainRecipe) -> MaskStore | None:
    """The masks that the recipe names; None for a method that needs none."""
    if not isinstance(settings.method, WithMasks):
        return None
    if settings.masks is None and settings.discovery is not None:
        return None
    if settings.masks is None:
        raise RecipeError(
            f"{settings.method.kind} needs masks; make them with 'detcon masks felzenszwalb "
            f"{shlex.quote(f'images={settings.images}')} out=masks', then give masks=masks, or "
            f"discovery.every=1000 to begin with none"
        )
    return MaskStore(settings.masks)


def _classes(settings: PretrainRecipe, photos: Photos) -> tuple[dict[str, int] | None, int]:
    """The class of each photo, and how many classes there are; None and 0 without labels."""
    if not isinstance(settings.method, Supervised):
        return None, 0
    numbers, names = read_classes(settings.method.classes, photos.keys)
    return dict(zip(photos.keys, numbers, strict=True)), len(names)
