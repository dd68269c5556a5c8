"""Pretrains a backbone by a recipe."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from detcon.config import load_recipe
from detcon.masks.store import MaskStore, StoreError
from detcon.masks.store.resume import say_newer_photos
from detcon.methods.method import Method
from detcon.methods.recipe import RegionDistillation, WithTarget
from detcon.models.backbone_file import save_backbone
from detcon.notes import counted, say
from detcon.ops.schedules import ema_rate
from detcon.photos import Photos, PhotosError, open_photos
from detcon.pretraining.collapse import collapse_figures, describe_collapse
from detcon.pretraining.inputs import say_newer, take_inputs
from detcon.pretraining.notices import advice_if_waiting, notices
from detcon.pretraining.parts import Parts, open_masks, open_parts
from detcon.pretraining.recipe import PretrainRecipe
from detcon.pretraining.start import describe_start, freeze_norms, open_start, open_teacher
from detcon.pretraining.watch import Watch
from detcon.results.environment import read_environment
from detcon.results.history import read_history
from detcon.results.inputs import Inventory
from detcon.train.environment import is_first_rank, leave_a_core, ranks
from detcon.train.loop import fit
from detcon.train.plan import Hooks, Plan, Probing
from detcon.train.random_state import seed_rank
from detcon.train.replica import settled
from detcon.train.run import LAST, open_run
from detcon.train.unreadable import UnreadablePhotos

_BACKBONE = "backbone.safetensors"
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
    asked = load_recipe(PretrainRecipe, recipe, overrides)
    settings, start = open_start(asked)
    settings, teacher = open_teacher(settings)
    loop = settled(settings.loop, settings.out)
    settings = settings.model_copy(update={"loop": loop})
    photos, inputs = _open_inputs(settings)
    leave_a_core(settings.workers)
    run = open_run(settings.out, settings, inputs=inputs)
    if photos is not None and run.began and is_first_rank():
        say_newer(photos, run.folder, run.began)
    backbone = run.folder / _BACKBONE
    finished = run.finished and backbone.is_file()  # a lost one is written again
    if finished and is_first_rank():
        say(
            f"{run.folder} holds this run, finished: nothing to do; give another out= to make it "
            f"again"
        )
    if not finished:
        assert photos is not None, "only a finished run does without"
        encoder = start.encoder if start else None
        parts = open_parts(settings, run.folder, photos, encoder, teacher)
        if settings.freeze_norms:
            freeze_norms(parts.method)
        if is_first_rank():
            about = (
                [describe_start(start, asked)]
                if start and not (run.folder / LAST).is_file()
                else []
            )
            for sentence in (*about, *notices(parts)):
                say(sentence)
            if parts.views is not None and isinstance(parts.views.store, MaskStore):
                say_newer_photos(parts.views.store, photos)
            batch = f"{counted(settings.batch_size, 'photo')} of {settings.views.size} px"
            say(f"{counted(parts.steps, 'update')} of {batch}, of which the first takes longest")
        if settings.encoder.drop_path:  # which nothing else draws for
            seed_rank(settings.seed, ranks().rank)
        made = fit(
            parts.method,
            parts.batches,
            plan=Plan(
                parts.steps,
                settings.batch_size,
                settings.optimizer,
                settings.schedule,
                settings.loop,
                passes=settings.accumulate,
                sync_norms=settings.sync_norms,
                warm_heads=settings.warm_heads,
                anchor=settings.anchor,
                title=settings.method.kind,
            ),
            folder=run.folder,
            hooks=_hooks(settings, parts, run.folder),
        )
        if is_first_rank():
            _save(settings, parts.method.encoder, backbone, {"steps": made})
            if collapse := describe_collapse(read_history(run.folder)):
                say(collapse)
        run.finish()
    return backbone


def _open_inputs(settings: PretrainRecipe) -> tuple[Photos | None, dict[str, Inventory] | None]:
    """The photos, and inventories of photos and masks; None where a finished run's are gone."""
    try:
        photos = open_photos(settings.images, settings.encoder.in_channels)
        masks = open_masks(settings)
    except (PhotosError, StoreError):
        is_whole = Path(settings.out, _BACKBONE).is_file()
        if not is_whole or not read_environment(Path(settings.out)).get("finished"):
            raise
        return None, None
    return photos, take_inputs(photos, masks) if is_first_rank() else None


def _hooks(settings: PretrainRecipe, parts: Parts, folder: Path) -> Hooks:
    photos, share = parts.photos, settings.max_unreadable
    return Hooks(
        after_step=_target_update(settings, parts.method, parts.steps),
        observe=None if settings.method.kind == "supervised" else collapse_figures,
        names=parts.names,
        probing=_probing(settings, parts, folder),
        unreadable=UnreadablePhotos(folder, photos.read, num_photos=parts.num_photos, share=share),
        if_waiting=advice_if_waiting(settings, ranks().per_machine),
    )


def _target_update(
    settings: PretrainRecipe, method: Method, steps: int
) -> Callable[[int], None] | None:
    """Moves the target network after each step; None without one."""
    if not isinstance(settings.method, WithTarget):
        return None
    base = settings.method.ema
    return lambda step: method.update_target(ema_rate(step, total=steps, base=base))


def _probing(settings: PretrainRecipe, parts: Parts, folder: Path) -> Probing | None:
    probing, without_labels, every = settings.probing, settings.label_free, parts.measure_every()
    if every is None:
        return None
    encoder = parts.method.encoder
    watch = Watch(
        folder,
        save=lambda step, found: _save(settings, encoder, folder / BEST, {"steps": step, **found}),
        figure=without_labels.figure if without_labels and not probing else None,
        patience=settings.patience if settings.stop == "plateau" else None,
    )
    return Probing(
        every,
        functools.partial(_measure, parts, encoder),
        watch.judge,
        at_start=settings.weights is not None,
        is_over=watch.is_over,
    )


def _measure(parts: Parts, encoder: nn.Module) -> dict[str, float]:
    """The figures with labels and without, on the first rank."""
    measures = [one.measure for one in (parts.probe, parts.label_free) if one is not None]
    return {name: value for measure in measures for name, value in measure(encoder).items()}


def _save(
    settings: PretrainRecipe, encoder: nn.Module, path: Path, notes: Mapping[str, Any]
) -> None:
    origin = {"seed": settings.seed, "images": settings.images, "masks": settings.masks}
    if settings.weights is not None:
        origin["weights"] = settings.weights.source
    if isinstance(settings.method, RegionDistillation):
        teacher = settings.method.teacher
        origin |= {"teacher": teacher.source, "teacher_digest": teacher.digest}
    save_backbone(
        path,
        encoder,
        settings.encoder,
        normalisation=settings.normalisation,
        notes={"method": settings.method.kind, **notes, **origin},
    )
