"""Opens the photos and masks of a pretraining and builds its network, by its recipe."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from detcon.config import RecipeError
from detcon.data.classes import read_classes
from detcon.data.dataset import PhotoViews
from detcon.data.loader import steps_per_epoch
from detcon.downstream.probing import PeriodicProbe
from detcon.masks.store import MaskStore
from detcon.methods import Method, byol, detcon_b, detcon_s, simclr, supervised
from detcon.models.encoders import build_encoder, feature_grid
from detcon.photos import Photos, open_photos
from detcon.pretraining.discovery import Discoverer
from detcon.pretraining.recipe import (
    DetConB,
    DetConS,
    PretrainRecipe,
    Supervised,
    WithMasks,
    WithTarget,
    num_groups,
)
from detcon.pretraining.rounds import Rounds
from detcon.train.environment import is_first_rank


@dataclass(frozen=True)
class Parts:
    """The parts of a pretraining.

    Attributes:
        photos: The collection, with the photos that can't be read.
        method: The network that learns, its target and its objective.
        rounds: The batches.
        steps: Updates in all.
        num_photos: How many photos are used.
        probe: Measures the encoder regularly; None without `probing`, and on all ranks but the
            first, which wait while it measures.
    """

    photos: Photos
    method: Method
    rounds: Rounds
    steps: int
    num_photos: int
    probe: PeriodicProbe | None


def open_parts(settings: PretrainRecipe, folder: Path, start: nn.Module | None = None) -> Parts:
    """Opens photos, masks and labels, and builds the network. Reads no photo yet.

    Args:
        settings: The whole recipe.
        folder: The run folder.
        start: An encoder with weights to start from; None for fresh ones.

    Raises:
        ValueError: Photos, masks, labels or settings that don't fit; the sentence says which.
    """
    photos = open_photos(settings.images, settings.encoder.in_channels)
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
    encoder = build_encoder(settings.encoder) if start is None else start
    method = build_method(settings, encoder, num_classes)
    grid = feature_grid(encoder, settings.views.size)
    views = None
    if settings.discovery is None or settings.masks is not None:
        views = open_views(settings, photos, grid, classes=classes)
    num_photos = len(photos if views is None else views)
    steps = settings.steps
    if steps is None:
        steps = settings.epochs * steps_per_epoch(num_photos, settings.batch_size)
    discoverer = None
    if settings.discovery is not None:  # with the average of the network, where there is one
        tower = method.online if method.target is None else method.target
        left_out = () if views is None else views.left_out
        discoverer = Discoverer(
            settings, settings.discovery, photos, tower.encoder, folder, steps, left_out
        )

    def open_round(masks: MaskStore) -> PhotoViews:
        return open_views(settings, photos, grid, masks=masks)

    rounds = Rounds(settings, steps, views, discoverer, open_round)
    return Parts(photos, method, rounds, steps, num_photos, probe)


def build_method(settings: PretrainRecipe, encoder: nn.Module, num_classes: int = 0) -> Method:
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
    options = method.model_dump(exclude={"kind", "num_regions", "ema", "negatives"})
    if (groups := num_groups(method)) is not None:
        options["num_groups"] = groups // settings.accumulate
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
    masks: MaskStore | None = None,
    classes: dict[str, int] | None = None,
) -> PhotoViews:
    """The views of a recipe's photos, with the regions that its method needs.

    Args:
        settings: The whole recipe.
        photos: What `settings.images` names.
        grid: Rows and columns of the encoder's features, for the regions.
        masks: In place of those that the recipe names.
        classes: The class of each photo by key, for supervised pretraining.

    Raises:
        RecipeError: If the method needs masks, and there are none.
    """
    method = settings.method
    return PhotoViews(
        photos,
        _open_masks(settings) if masks is None else masks,
        settings.views,
        num_views=1 if isinstance(method, Supervised) else 2,
        num_regions=getattr(method, "num_regions", 1),
        grid=grid,
        seed=settings.seed,
        classes=classes,
        max_side=settings.max_side,
        pass_over=settings.max_unreadable > 0,
    )


def _open_masks(settings: PretrainRecipe) -> MaskStore | None:
    """The masks that the recipe names; None for a method that needs none."""
    if not isinstance(settings.method, WithMasks):
        return None
    if settings.masks is None:
        raise RecipeError(
            f"{settings.method.kind} needs masks; make them with 'detcon masks "
            f"recipes/masks/felzenszwalb.yaml images={settings.images} out=masks', then give "
            f"masks=masks, or discovery.every=1000 to begin with none"
        )
    return MaskStore(settings.masks)


def _classes(settings: PretrainRecipe, photos: Photos) -> tuple[dict[str, int] | None, int]:
    """The class of each photo, and how many classes there are; None and 0 without labels."""
    if not isinstance(settings.method, Supervised):
        return None, 0
    numbers, names = read_classes(settings.method.classes, photos.keys)
    return dict(zip(photos.keys, numbers, strict=True)), len(names)
