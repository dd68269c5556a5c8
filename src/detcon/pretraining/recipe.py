"""Settings of a pretraining."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from detcon.config import Recipe
from detcon.data.recipe import ViewsRecipe
from detcon.downstream.recipe import LabelFreeWatch, ProbingRecipe
from detcon.methods.recipe import (
    DetConS,
    MethodRecipe,
    WithMasks,
    kinds_with_masks,
    num_groups,
)
from detcon.models.recipe import Digest, EncoderRecipe, Normalisation, WeightsSource
from detcon.train.recipe import Cosine, Lars, LoopRecipe, OptimizerRecipe, ScheduleRecipe


class Discovery(Recipe):
    """Masks found by the network in training: clusters of its features (ODIN's idea)."""

    every: int = Field(ge=1, description="updates between clusterings of all photos")
    num: int = Field(default=16, ge=2, description="most clusters of a photo")
    last_num: int | None = Field(
        default=None, ge=2, description="most clusters in the last round; null: num in all rounds"
    )
    side: int = Field(default=448, ge=32, description="longest side of the resized photos")
    stride: Literal[8, 16, 32] | None = Field(
        default=None, description="pixels to a cell of a ResNet's grid; null: encoder.stride"
    )


class WeightsRecipe(Recipe):
    """Weights to start from, in place of fresh ones."""

    main: ClassVar[str] = "source"

    source: WeightsSource
    digest: Digest = None
    partial: bool = Field(
        default=False, description="take what matches, leave the rest fresh, and report the match"
    )
    bands: Literal["fresh", "mean"] = Field(
        default="fresh",
        description="the first convolution for photos of other channels: fresh, or the mean of the "
        "weights' filters for each channel",
    )
    stride: Literal[8, 16, 32] | None = Field(
        default=None,
        description="output stride of a ResNet; null: encoder.stride, if given, else "
        "that of the weights",
    )


class PretrainRecipe(Recipe):
    """Settings of a pretraining: photos and masks in, a backbone out."""

    shelf: ClassVar[str] = "pretrain"

    images: str = Field(description="folder or manifest of photos")
    masks: str | None = Field(default=None, description="folder made by 'detcon masks'")
    discovery: Discovery | None = Field(
        default=None,
        description="cluster the network's features regularly, and train with those masks; "
        "without masks= from the first update on",
    )
    out: str = Field(description="run folder; the same command again goes on where it stopped")
    method: MethodRecipe = Field(default=DetConS(), description="method and loss")
    encoder: EncoderRecipe = Field(
        default=EncoderRecipe(), description="the network; with weights= that of the weights"
    )
    weights: WeightsRecipe | None = Field(
        default=None,
        description="start from these weights, with their architecture and normalisation: "
        "weights=FILE, torchvision:NAME or timm:NAME; null: fresh ones",
    )
    warm_heads: int = Field(
        default=0, ge=0, description="first steps, in which the encoder keeps its weights"
    )
    anchor: float = Field(
        default=0.0, ge=0, description="pull of the encoder to its first weights: decoupled L2"
    )
    freeze_norms: bool = Field(
        default=False,
        description="the encoder's batch norms keep the statistics of the weights; the default "
        "with weights= and AdamW, and optimizer.encoder_lr=1e-4 with it",
    )
    views: ViewsRecipe = Field(default=ViewsRecipe(), description="how views are cut and coloured")
    normalisation: Normalisation = Field(default=Normalisation(), description="of the colours")
    optimizer: OptimizerRecipe = Field(default=Lars(lr=0.2), description="optimiser")
    schedule: ScheduleRecipe = Field(default=Cosine(), description="learning-rate schedule")
    epochs: int = Field(default=100, ge=1, description="passes over the photos")
    steps: int | None = Field(
        default=None, ge=0, description="updates, instead of epochs; 0: only write weights="
    )
    batch_size: int = Field(default=256, ge=2, description="photos per update, over all devices")
    accumulate: int = Field(
        default=1, ge=1, description="passes per update, each on an equal part of the batch"
    )
    sync_norms: bool = Field(default=True, description="batch norms over the batches of all ranks")
    max_side: int | None = Field(
        default=None, ge=8, description="longest side that photos are shrunk to when read"
    )
    seed: int = Field(default=0, ge=0, description="seed of all random numbers")
    workers: int = Field(default=2, ge=0, description="processes that read and cut photos")
    max_unreadable: float = Field(
        default=0.01, ge=0, le=1, description="share of unreadable photos (at least 1); 0: none"
    )
    loop: LoopRecipe = Field(default=LoopRecipe(), description="precision, logs, checkpoints")
    probing: ProbingRecipe | None = Field(
        default=None,
        description="measure the encoder on labelled data regularly, with weights= from the start "
        "on; keep the best, and report a fall below the start",
    )
    label_free: LabelFreeWatch | None = Field(
        default=None,
        description="measure the encoder without labels regularly; null: off; on by default with "
        "weights= and without probing",
    )
    stop: Literal["end", "plateau"] = Field(
        default="end", description="plateau: once the last 'patience' measurements were no better"
    )
    patience: int = Field(default=5, ge=1, description="measurements, for stop=plateau")

    @classmethod
    def with_derived(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fills in what follows from other settings: of weights, of the method, of the bands."""
        for fill_in in (_with_label_free, _with_care, _with_stride, _with_colours):
            values = fill_in(values)
        return _with_normalisation(values)

    @model_validator(mode="after")
    def _contrast_stays_in_a_pass(self) -> "PretrainRecipe":
        groups, passes = num_groups(self.method), self.accumulate
        if groups is not None and groups % passes:
            raise ValueError(
                f"with accumulate={passes} the network sees 1/{passes} of the batch at a time, so "
                f"negatives can't come from all of it: give method.negatives=1/{passes} (or "
                f"1/{2 * passes}), not {getattr(self.method, 'negatives', '')}"
            )
        for name, parts in (("accumulate", passes), ("the groups of method.negatives", groups)):
            if self.batch_size % (parts or 1):
                raise ValueError(
                    f"batch_size={self.batch_size} can't be cut into {parts} equal parts, as "
                    f"{name} ask{'s' if name == 'accumulate' else ''} for; choose a multiple"
                )
        return self

    @model_validator(mode="after")
    def _has_a_start(self) -> "PretrainRecipe":
        if self.weights is None:
            self.encoder.check_drop_path()
            for name, given in (("anchor", self.anchor), ("freeze_norms", self.freeze_norms)):
                if given:
                    raise ValueError(f"{name} is about weights to start from; give weights=")
            if self.steps == 0:
                raise ValueError("steps=0 would train nothing; give steps=1 or more")
        return self

    @model_validator(mode="after")
    def _has_a_figure_to_judge_by(self) -> "PretrainRecipe":
        probing, watch = self.probing, self.label_free
        if self.stop == "plateau" and probing is None and watch is None:
            raise ValueError(
                "stop=plateau needs a figure to judge by: give probing.data=LABELLED and "
                "probing.every=100, or without labels label_free.figure=rankme"
            )
        if probing and watch and watch.every not in (None, probing.every):
            raise ValueError(
                f"label_free.every={watch.every} and probing.every={probing.every} differ, and "
                f"both measure at the same steps; leave label_free.every out"
            )
        return self

    @model_validator(mode="after")
    def _regions_of_masks(self) -> "PretrainRecipe":
        if isinstance(self.method, WithMasks):
            return self
        kind, views = self.method.kind, self.views
        if self.discovery is not None:
            raise ValueError(
                f"discovery finds masks, and {kind} has no use for them; give "
                f"method.kind={kinds_with_masks()}, or leave discovery out"
            )
        for name, given, usual in (
            ("second", views.second, "own"),
            ("absent", str(views.absent).lower(), "false"),
        ):
            if given != usual:
                raise ValueError(
                    f"views.{name}={given} is about masks, and {kind} has none; give "
                    f"method.kind={kinds_with_masks()}, or leave views.{name}={usual}"
                )
        return self

    @model_validator(mode="after")
    def _one_of_each_a_channel(self) -> "PretrainRecipe":
        channels, given = self.encoder.in_channels, self.normalisation
        if not len(given.mean) == len(given.std) == channels:
            raise ValueError(
                f"normalisation has {len(given.mean)} means and {len(given.std)} deviations, but "
                f"encoder.in_channels={channels}; give one value a channel"
            )
        return self


def _with_label_free(values: dict[str, Any]) -> dict[str, Any]:
    """Weights to start from may be spoilt, so they are watched, where labels don't do that."""
    watched = "label_free" in values or values.get("probing") is not None
    if watched or values.get("weights") is None:
        return values
    return values | {"label_free": {}}


def _with_care(values: dict[str, Any]) -> dict[str, Any]:
    """What kept and bettered ImageNet's weights in `studies/photos_adapt_sweep.yaml`.

    Rates of fresh weights spoil them where norms are frozen, and low ones where norms move.
    """
    optimizer, weights = values.get("optimizer"), values.get("weights")
    if weights is None or not isinstance(optimizer, dict) or optimizer.get("kind") != "adamw":
        return values
    lr = optimizer.get("lr")
    if not values.get("freeze_norms", True) or not isinstance(lr, int | float):
        return values
    return {"freeze_norms": True, **values, "optimizer": {"encoder_lr": min(lr, 1e-4), **optimizer}}


def _with_stride(values: dict[str, Any]) -> dict[str, Any]:
    """A stride that is given for the encoder counts for weights too; a default one doesn't."""
    weights, encoder = values.get("weights"), values.get("encoder") or {}
    if not isinstance(weights, dict) or not isinstance(encoder, dict):
        return values
    return values | {"weights": {"stride": encoder.get("stride"), **weights}}


def _with_colours(values: dict[str, Any]) -> dict[str, Any]:
    """Colours of DetCon-S for it and SimCLR, of DetCon-B for all that have a target network."""
    views, method = values.get("views") or {}, values.get("method") or {}
    if not isinstance(views, dict) or not isinstance(method, dict) or "colour" in views:
        return values
    kind = method.get("kind", "detcon_s")
    with_target = ("detcon_b", "byol", "region_byol", "region_distillation")
    colour = "detcon_b" if kind in with_target else "detcon_s"
    return values | {"views": views | {"colour": colour}}


def _with_normalisation(values: dict[str, Any]) -> dict[str, Any]:
    """Fills in the normalisation of photos that aren't RGB: ImageNet's fits RGB only."""
    encoder = values.get("encoder") or {}
    channels = encoder.get("in_channels", 3) if isinstance(encoder, dict) else 3
    if "normalisation" in values or not isinstance(channels, int) or channels < 1:
        return values  # for the encoder's own check to refuse
    return values | {"normalisation": Normalisation.of(channels)}
