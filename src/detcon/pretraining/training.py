"""A pretraining, put together from its recipe."""

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from detcon.config import RecipeError, load_recipe
from detcon.data.classes import read_classes
from detcon.data.dataset import PhotoViews
from detcon.data.loader import steps_per_epoch
from detcon.downstream.probing import PeriodicProbe
from detcon.masks.store import MaskStore
from detcon.methods import Method, byol, detcon_b, detcon_s, simclr, supervised
from detcon.models.backbone_file import save_backbone
from detcon.models.encoders import build_encoder, feature_grid
from detcon.ops.schedules import ema_rate
from detcon.photos import Photos, open_photos
from detcon.pretraining.discovery import Discoverer
from detcon.pretraining.recipe import (
    BYOL,
    DetConB,
    DetConS,
    PretrainRecipe,
    Supervised,
    num_groups,
)
from detcon.pretraining.rounds import Rounds
from detcon.results.history import read_history
from detcon.train.environment import is_first_rank, ranks
from detcon.train.loop import fit
from detcon.train.monitor import collapse_figures
from detcon.train.plan import Hooks, Plan
from detcon.train.probing import Probing
from detcon.train.run import Run, open_run
from detcon.train.unreadable import UnreadablePhotos
from detcon.workers import num_cores

BEST = "backbone_best.safetensors"


def pretrain(recipe: str | Path | PretrainRecipe | None = None, /, **overrides: Any) -> Path:
    """Pretrains a backbone and writes it into a run folder.

    Given again, with the same settings, it goes on where it stopped; a finished run is left as it
    is.

    Args:
        recipe: A recipe, its YAML file or name, or None for the defaults.
        **overrides: Settings by name, as on the command line; names with a dot in a mapping:
            `pretrain(images="photos", masks="masks", out="run", **{"optimizer.lr": 0.3})`.

    Returns:
        The backbone file.

    Raises:
        ValueError: Photos, masks or settings that don't fit; the sentence says which.
        OSError: A disk that is full or can't be written.
    """
    settings = load_recipe(PretrainRecipe, recipe, overrides)
    run = open_run(settings.out, settings)
    backbone = run.folder / "backbone.safetensors"
    if not run.finished:
        _train(settings, run, backbone)
        run.finish()
    return backbone


def _train(settings: PretrainRecipe, run: Run, backbone: Path) -> None:
    photos = open_photos(settings.images, settings.encoder.in_channels)
    classes, num_classes = _classes(settings, photos)
    probe = _open_probe(settings)
    torch.manual_seed(settings.seed)
    encoder = build_encoder(settings.encoder)
    method = build_method(settings, encoder, num_classes)
    finds_first = settings.discovery is not None and settings.masks is None
    views = None if finds_first else open_views(settings, photos, encoder, classes)
    del classes  # by name, those of a million photos are large; the views have them by number
    num_photos = len(photos if views is None else views)
    _say_what_is_off(photos.channels)
    _say_left_out(views)
    steps = settings.steps or settings.epochs * steps_per_epoch(num_photos, settings.batch_size)
    discoverer = _discoverer(settings, photos, method, run.folder, views)
    rounds = Rounds(settings, steps, views, discoverer, _views(settings, photos, encoder))
    fit(
        method,
        rounds.batches,
        plan=Plan(
            steps=steps,
            batch_size=settings.batch_size,
            optimizer=settings.optimizer,
            schedule=settings.schedule,
            loop=settings.loop,
            passes=settings.accumulate,
            sync_norms=settings.sync_norms,
            title=settings.method.kind,
        ),
        folder=run.folder,
        hooks=Hooks(
            after_step=_follow(settings, method, steps),
            observe=None if settings.method.kind == "supervised" else _observe,
            names=rounds.names,
            probing=_probing(settings, probe, encoder, run.folder),
            unreadable=UnreadablePhotos(
                run.folder, photos.read, num_photos=num_photos, share=settings.max_unreadable
            ),
            if_waiting=_what_hastens(settings, ranks().per_machine),
        ),
    )
    if is_first_rank():
        _save(settings, encoder, backbone, {"steps": steps})


def _save(
    settings: PretrainRecipe, encoder: nn.Module, path: Path, notes: Mapping[str, Any]
) -> None:
    origin = {"seed": settings.seed, "images": settings.images, "masks": settings.masks}
    save_backbone(
        path,
        encoder,
        settings.encoder,
        normalisation=settings.normalisation,
        notes={"method": settings.method.kind, **notes, **origin},
    )


def _open_probe(settings: PretrainRecipe) -> PeriodicProbe | None:
    """The first rank's alone: the others wait while it measures."""
    if settings.probing is None or not is_first_rank():
        return None
    return PeriodicProbe(
        settings.probing,
        settings.encoder,
        normalisation=settings.normalisation,
        seed=settings.seed,
    )


def _probing(
    settings: PretrainRecipe, probe: PeriodicProbe | None, encoder: nn.Module, folder: Path
) -> Probing | None:
    if settings.probing is None:
        return None

    def keep_the_best(step: int, figures: dict[str, float]) -> None:
        """The log tells the best so far; it ends at the checkpoint a resumed run goes on from."""
        [(name, value)] = figures.items()
        before = [line[name] for line in read_history(folder).rows if name in line]
        if value > max(before, default=-math.inf):
            _save(settings, encoder, folder / BEST, {"steps": step, name: value})

    measure = functools.partial(probe.measure, encoder) if probe else dict
    return Probing(settings.probing.every, measure, keep_the_best)


def _say_what_is_off(channels: int) -> None:
    if channels != 3 and is_first_rank():
        Console(stderr=True, highlight=False).print(
            f"photos of {channels} channels: changes of saturation and hue, and grey, are off"
        )


def _say_left_out(views: PhotoViews | None) -> None:
    if views is not None and views.left_out and is_first_rank():
        Console(stderr=True, highlight=False).print(
            f"left out {len(views.left_out)} photos that couldn't be read when the masks were "
            f"made, {views.left_out[0]} first",
            markup=False,
        )


def _what_hastens(settings: PretrainRecipe, ranks_here: int) -> str:
    """What to change where data are waited for: what may be changed in this run first."""
    cores = num_cores() // ranks_here
    ways = []
    if settings.workers < cores:
        ways.append(f"stop it and go on with workers={cores} (now {settings.workers})")
    if settings.max_side is None and not settings.views.reduced_decode:
        ways.append("start anew with max_side= or views.reduced_decode=true for large photos")
    if settings.discovery is not None:
        ways.append("start anew with a larger discovery.every=, since finding masks counts as that")
    ways.append("put the photos on a faster disk")
    return ", or ".join(ways)


def build_method(settings: PretrainRecipe, encoder: nn.Module, num_classes: int = 0) -> Method:
    """Composes the method that a recipe names around an encoder."""
    method, normalisation = settings.method, settings.normalisation
    if isinstance(method, Supervised):
        smoothing = method.label_smoothing
        return supervised(
            encoder,
            num_classes=num_classes,
            label_smoothing=smoothing,
            normalisation=normalisation,
        )
    make = {"detcon_s": detcon_s, "detcon_b": detcon_b, "simclr": simclr, "byol": byol}
    parts = method.model_dump(exclude={"kind", "num_regions", "ema", "negatives"})
    if (groups := num_groups(method)) is not None:
        parts["num_groups"] = groups // settings.accumulate
    if isinstance(method, DetConS | DetConB):
        parts["own_view"] = settings.views.second == "own"
    return make[method.kind](encoder, **parts, normalisation=normalisation)


def open_views(
    settings: PretrainRecipe,
    photos: Photos,
    encoder: nn.Module,
    classes: dict[str, int] | None = None,
) -> PhotoViews:
    """The views of a recipe's photos, with the regions that its method needs."""
    return _views(settings, photos, encoder, classes)(_open_masks(settings))


def _views(
    settings: PretrainRecipe,
    photos: Photos,
    encoder: nn.Module,
    classes: dict[str, int] | None = None,
) -> Callable[[MaskStore | None], PhotoViews]:
    """Opens the same views with the masks of one store or another."""
    method = settings.method
    return functools.partial(
        PhotoViews,
        photos,
        views=settings.views,
        num_views=1 if isinstance(method, Supervised) else 2,
        num_regions=getattr(method, "num_regions", 1),
        grid=feature_grid(encoder, settings.views.size),
        seed=settings.seed,
        classes=classes,
        max_side=settings.max_side,
        pass_over=settings.max_unreadable > 0,
    )


def _open_masks(settings: PretrainRecipe) -> MaskStore | None:
    """The masks that are given, to a method that needs some."""
    if not isinstance(settings.method, DetConS | DetConB):
        return None
    if settings.masks is None:
        raise RecipeError(
            f"{settings.method.kind} needs masks; make them with 'detcon masks "
            f"recipes/masks/felzenszwalb.yaml images={settings.images} out=masks', then give "
            f"masks=masks, or discovery.every=1000 to begin with none"
        )
    return MaskStore(settings.masks)


def _discoverer(
    settings: PretrainRecipe,
    photos: Photos,
    method: Method,
    folder: Path,
    views: PhotoViews | None,
) -> Discoverer | None:
    """What finds masks by the network that learns, or by the average of it where there is one."""
    if settings.discovery is None:
        return None
    tower = method.online if method.target is None else method.target
    left_out = () if views is None else views.left_out
    return Discoverer(settings, settings.discovery, photos, tower.encoder, folder, left_out)


def _classes(settings: PretrainRecipe, photos: Photos) -> tuple[dict[str, int] | None, int]:
    if not isinstance(settings.method, Supervised):
        return None, 0
    numbers, names = read_classes(settings.method.classes, photos.keys)
    return dict(zip(photos.keys, numbers, strict=True)), len(names)


def _observe(embeddings: Any) -> dict[str, float]:
    return collapse_figures(embeddings)


def _follow(settings: PretrainRecipe, method: Method, steps: int) -> Callable[[int], None] | None:
    if not isinstance(settings.method, DetConB | BYOL):
        return None
    base = settings.method.ema
    return lambda step: method.update_target(ema_rate(step, total=steps, base=base))
