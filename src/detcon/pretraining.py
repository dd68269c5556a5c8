"""Pretraining: from a recipe to a run folder with a backbone in it."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from rich.console import Console
from torch import nn

from detcon.config import Recipe, RecipeError, load_recipe
from detcon.data.batch import Batch
from detcon.data.classes import read_classes
from detcon.data.dataset import PhotoViews
from detcon.data.loader import batches, steps_per_epoch
from detcon.data.views import ViewsRecipe
from detcon.downstream.probes.periodic import PeriodicProbe, ProbingRecipe
from detcon.masks.store import MaskStore
from detcon.methods import Method, byol, detcon_b, detcon_s, simclr, supervised
from detcon.models.backbone_file import Normalisation, save_backbone
from detcon.models.encoders import EncoderRecipe, build_encoder, feature_grid
from detcon.ops.schedules import ema_rate
from detcon.photos import Photos, open_photos
from detcon.train.environment import is_first_rank, ranks
from detcon.train.loop import LoopRecipe, fit
from detcon.train.monitor import collapse_figures
from detcon.train.optim import Cosine, Lars, OptimizerRecipe, ScheduleRecipe
from detcon.train.probing import Probing
from detcon.train.run import Run, open_run

Regions = Annotated[int, Field(ge=1, description="masks sampled a view")]
Temperature = Annotated[float, Field(gt=0, description="divides the cosine similarities")]
Hidden = Annotated[int, Field(ge=1, description="width between the layers of a head")]
Outputs = Annotated[int, Field(ge=1, description="size of the embedding")]
Local = Annotated[bool, Field(description="other masks of the same photo are negatives")]
Negatives = Annotated[
    str,
    Field(
        pattern="^(all|1/[1-9][0-9]*)$",
        description="which photos hold negatives: all of the batch, or 1/4: it is cut into four",
    ),
]
Ema = Annotated[float, Field(ge=0, le=1, description="share of the target that stays, at first")]


class DetConS(Recipe):
    """DetCon on SimCLR: one network, regions contrasted between two views."""

    kind: Literal["detcon_s"] = "detcon_s"
    num_regions: Regions = 16
    temperature: Temperature = 0.1
    local_negatives: Local = True
    negatives: Negatives = "all"
    hidden: Hidden = 2048
    outputs: Outputs = 128


class DetConB(Recipe):
    """DetCon on BYOL: a predictor, and a target network that follows."""

    kind: Literal["detcon_b"] = "detcon_b"
    num_regions: Regions = 16
    temperature: Temperature = 0.1
    local_negatives: Local = True
    negatives: Negatives = "all"
    hidden: Hidden = 4096
    outputs: Outputs = 256
    ema: Ema = 0.996


class SimCLR(Recipe):
    """SimCLR: whole views contrasted between photos."""

    kind: Literal["simclr"] = "simclr"
    temperature: Temperature = 0.1
    negatives: Negatives = "all"
    hidden: Hidden = 2048
    outputs: Outputs = 128


class BYOL(Recipe):
    """BYOL: whole views regressed onto a target network that follows; no negatives."""

    kind: Literal["byol"] = "byol"
    hidden: Hidden = 4096
    outputs: Outputs = 256
    ema: Ema = 0.996


class Supervised(Recipe):
    """Classification of whole photos: the baseline with labels."""

    kind: Literal["supervised"] = "supervised"
    classes: str = Field(default="folders", description="folders, or a CSV with path and class")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="spread over all classes")


MethodRecipe = Annotated[
    DetConS | DetConB | SimCLR | BYOL | Supervised, Field(discriminator="kind")
]


class PretrainRecipe(Recipe):
    """A folder of photos, with masks, becomes a backbone."""

    images: str = Field(description="folder or manifest of photos")
    masks: str | None = Field(default=None, description="folder made by 'detcon masks'")
    out: str = Field(description="run folder; the same command again goes on where it stopped")
    method: MethodRecipe = Field(default=DetConS(), description="what is learned, and how")
    encoder: EncoderRecipe = Field(default=EncoderRecipe(), description="the network")
    views: ViewsRecipe = Field(default=ViewsRecipe(), description="how views are cut and coloured")
    normalisation: Normalisation = Field(default=Normalisation(), description="of the colours")
    optimizer: OptimizerRecipe = Field(default=Lars(lr=0.2), description="what makes the updates")
    schedule: ScheduleRecipe = Field(default=Cosine(), description="how the rate changes")
    epochs: int = Field(default=100, ge=1, description="times that each photo is seen")
    steps: int | None = Field(default=None, ge=1, description="updates, instead of epochs")
    batch_size: int = Field(default=256, ge=2, description="photos an update, on all devices")
    accumulate: int = Field(
        default=1, ge=1, description="passes an update: each sees that share of the batch at a time"
    )
    sync_norms: bool = Field(default=True, description="batch norms join the batches of all ranks")
    max_side: int | None = Field(default=None, ge=8, description="photos are shrunk to this first")
    seed: int = Field(default=0, ge=0, description="of all that is drawn")
    workers: int = Field(default=2, ge=0, description="processes that read and cut photos")
    loop: LoopRecipe = Field(default=LoopRecipe(), description="precision, logs, checkpoints")
    probing: ProbingRecipe | None = Field(
        default=None, description="measure the encoder on labelled data now and then; null: don't"
    )

    @model_validator(mode="before")
    @classmethod
    def _colours_of_the_method(cls, values: Any) -> Any:
        """The two DetCon methods have views of their own; SimCLR goes with S and BYOL with B."""
        if not isinstance(values, dict) or "colour" in (values.get("views") or {}):
            return values
        kind = (values.get("method") or {}).get("kind", "detcon_s")
        colour = "detcon_b" if kind in ("detcon_b", "byol") else "detcon_s"
        return values | {"views": (values.get("views") or {}) | {"colour": colour}}

    @model_validator(mode="before")
    @classmethod
    def _normalisation_of_bands(cls, values: Any) -> Any:
        """ImageNet's mean and deviation are of RGB alone."""
        if not isinstance(values, dict) or "normalisation" in values:
            return values
        encoder = values.get("encoder") or {}
        channels = encoder.get("in_channels", 3) if isinstance(encoder, dict) else 3
        if not isinstance(channels, int) or channels < 1:
            return values  # for the encoder's own check to refuse
        return values | {"normalisation": Normalisation.of(channels)}

    @model_validator(mode="after")
    def _contrast_stays_in_a_pass(self) -> "PretrainRecipe":
        groups, passes = _num_groups(self.method), self.accumulate
        if groups is not None and groups % passes:
            raise ValueError(
                f"with accumulate={passes} the network sees 1/{passes} of the batch at a time, and "
                f"regions can't be contrasted across: give method.negatives=1/{passes}, or a "
                f"multiple, in place of {getattr(self.method, 'negatives', '')}"
            )
        for name, parts in (("accumulate", passes), ("the groups of method.negatives", groups)):
            if self.batch_size % (parts or 1):
                raise ValueError(
                    f"batch_size={self.batch_size} can't be cut into {parts} equal parts, as "
                    f"{name} ask{'s' if name == 'accumulate' else ''} for; choose a multiple"
                )
        return self

    @model_validator(mode="after")
    def _one_of_each_a_channel(self) -> "PretrainRecipe":
        channels, given = self.encoder.in_channels, self.normalisation
        if not len(given.mean) == len(given.std) == channels:
            raise ValueError(
                f"normalisation has {len(given.mean)} means and {len(given.std)} deviations, but "
                f"encoder.in_channels={channels}; give one of each a channel"
            )
        return self


def pretrain(recipe: str | Path | None = None, /, **overrides: Any) -> Path:
    """Pretrains a backbone and writes it into a run folder.

    Given again, with the same settings, it goes on where it stopped; a finished run is left as it
    is.

    Args:
        recipe: A YAML file, or None for the defaults.
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
    dataset = open_views(settings, photos, encoder, classes)
    _say_what_is_off(photos.channels)
    _say_left_out(dataset)
    steps = settings.steps or settings.epochs * steps_per_epoch(len(dataset), settings.batch_size)
    fit(
        method,
        functools.partial(_batches, settings, dataset, steps),
        folder=run.folder,
        steps=steps,
        optimizer=settings.optimizer,
        schedule=settings.schedule,
        loop=settings.loop,
        batch_size=settings.batch_size,
        passes=settings.accumulate,
        sync_norms=settings.sync_norms,
        after_step=_follow(settings, method, steps),
        observe=None if settings.method.kind == "supervised" else _observe,
        names=lambda batch: [str(dataset.keys[i]) for i in batch.index.tolist()],
        probing=_probing(settings, probe, encoder),
        title=settings.method.kind,
    )
    if is_first_rank():
        notes = {"method": settings.method.kind, "steps": steps, "seed": settings.seed}
        save_backbone(
            backbone,
            encoder,
            settings.encoder,
            normalisation=settings.normalisation,
            notes=notes | {"images": settings.images, "masks": settings.masks},
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
    settings: PretrainRecipe, probe: PeriodicProbe | None, encoder: nn.Module
) -> Probing | None:
    if settings.probing is None:
        return None
    return Probing(settings.probing.every, lambda: probe.measure(encoder) if probe else {})


def _say_what_is_off(channels: int) -> None:
    if channels != 3 and is_first_rank():
        Console(stderr=True, highlight=False).print(
            f"photos of {channels} channels: changes of saturation and hue, and grey, are off"
        )


def _say_left_out(dataset: PhotoViews) -> None:
    if dataset.left_out and is_first_rank():
        Console(stderr=True, highlight=False).print(
            f"left out {len(dataset.left_out)} photos that couldn't be read when the masks were "
            f"made, {dataset.left_out[0]} first",
            markup=False,
        )


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
    if (groups := _num_groups(method)) is not None:
        parts["num_groups"] = groups // settings.accumulate
    return make[method.kind](encoder, **parts, normalisation=normalisation)


def _num_groups(method: MethodRecipe) -> int | None:
    """Into how many groups `negatives` cuts the batch; None where nothing is contrasted."""
    negatives = getattr(method, "negatives", None)
    if negatives is None:
        return None
    return 1 if negatives == "all" else int(negatives.removeprefix("1/"))


def open_views(
    settings: PretrainRecipe,
    photos: Photos,
    encoder: nn.Module,
    classes: dict[str, int] | None = None,
) -> PhotoViews:
    """The views of a recipe's photos, with the regions that its method needs."""
    method = settings.method
    num_regions = getattr(method, "num_regions", None)
    return PhotoViews(
        photos,
        _open_masks(settings) if num_regions else None,
        settings.views,
        num_views=1 if isinstance(method, Supervised) else 2,
        num_regions=num_regions or 1,
        grid=feature_grid(encoder, settings.views.size),
        seed=settings.seed,
        classes=classes,
        max_side=settings.max_side,
    )


def _open_masks(settings: PretrainRecipe) -> MaskStore:
    if settings.masks is None:
        raise RecipeError(
            f"{settings.method.kind} needs masks; make them with 'detcon masks "
            f"recipes/masks/felzenszwalb.yaml images={settings.images} out=masks', then give "
            f"masks=masks"
        )
    return MaskStore(settings.masks)


def _classes(settings: PretrainRecipe, photos: Photos) -> tuple[dict[str, int] | None, int]:
    if not isinstance(settings.method, Supervised):
        return None, 0
    numbers, names = read_classes(settings.method.classes, photos.keys)
    return dict(zip(photos.keys, numbers, strict=True)), len(names)


def _batches(
    settings: PretrainRecipe, dataset: PhotoViews, steps: int, first_step: int
) -> Iterator[Batch]:
    share = ranks()
    return batches(
        dataset,
        batch_size=settings.batch_size,
        seed=settings.seed,
        first_step=first_step,
        num_steps=steps,
        workers=settings.workers,
        rank=share.rank,
        world=share.world,
    )


def _observe(embeddings: Any) -> dict[str, float]:
    return collapse_figures(embeddings)


def _follow(settings: PretrainRecipe, method: Method, steps: int) -> Callable[[int], None] | None:
    if not isinstance(settings.method, DetConB | BYOL):
        return None
    base = settings.method.ema
    return lambda step: method.update_target(ema_rate(step, total=steps, base=base))
