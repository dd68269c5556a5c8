"""Settings of a training: the loop, the optimiser, the schedule."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from detcon.config import Recipe

Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
WARMUP = "warm-up from 0, as a share of all steps"
WARMUP_STEPS = "warm-up in steps, instead of a share"
EncoderRate = Annotated[
    Rate | None, Field(description="peak learning rate of the encoder; null: lr, as the heads")
]
LayerDecay = Annotated[
    float | None,
    Field(
        gt=0,
        le=1,
        description="factor of the encoder's rate from each block or stage to the one before it",
    ),
]


class Lars(Recipe):
    """Layer-wise adaptive SGD (You et al., 2017) for large batches, as DetCon and BYOL use it.

    As in the official code (`detcon.train.optim.LayerwiseSgd`): biases and norms get neither decay
    nor trust ratio.
    """

    kind: Literal["lars"] = "lars"
    lr: Rate = Field(description="peak learning rate, for a batch of 256 where scale_lr is true")
    weight_decay: float = Field(default=1.5e-6, ge=0, description="not on biases and norms")
    momentum: Share = Field(default=0.9, description="heavy-ball momentum, not Nesterov's")
    trust: Rate = Field(default=1e-3, description="LARS trust coefficient")
    scale_lr: bool = Field(default=True, description="multiply lr by (global batch) / 256")
    encoder_lr: EncoderRate = None
    layer_decay: LayerDecay = None


class Sgd(Recipe):
    """Stochastic gradient descent, as the transfer protocols use it."""

    kind: Literal["sgd"] = "sgd"
    lr: Rate = Field(description="peak learning rate")
    momentum: Share = Field(default=0.9, description="heavy-ball momentum")
    weight_decay: float = Field(default=1e-4, ge=0, description="L2 penalty")
    nesterov: bool = Field(default=False, description="Nesterov's momentum")
    decay_all: bool = Field(default=False, description="decay biases and norms too")
    scale_lr: bool = Field(default=False, description="multiply lr by (global batch) / 256")
    encoder_lr: EncoderRate = None
    layer_decay: LayerDecay = None


class AdamW(Recipe):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019), for small batches and ViTs."""

    kind: Literal["adamw"] = "adamw"
    lr: Rate = Field(description="peak learning rate")
    weight_decay: float = Field(default=0.05, ge=0, description="decoupled")
    betas: tuple[Share, Share] = Field(default=(0.9, 0.999), description="of the two moments")
    decay_all: bool = Field(default=False, description="decay biases and norms too")
    scale_lr: bool = Field(default=False, description="multiply lr by (global batch) / 256")
    encoder_lr: EncoderRate = None
    layer_decay: LayerDecay = None


OptimizerRecipe = Annotated[Lars | Sgd | AdamW, Field(discriminator="kind")]


class Cosine(Recipe):
    """Linear warm-up from 0, then half a cosine down to 0, by step."""

    kind: Literal["cosine"] = "cosine"
    warmup: Share = Field(default=0.01, description=WARMUP)
    warmup_steps: int | None = Field(default=None, ge=0, description=WARMUP_STEPS)


class StepDecay(Recipe):
    """Linear warm-up from 0, then constant, times gamma at each milestone."""

    kind: Literal["step"] = "step"
    milestones: tuple[Share, ...] = Field(default=(0.7, 0.9), description="as shares of all steps")
    gamma: Rate = Field(default=0.1, description="factor at each milestone")
    warmup: Share = Field(default=0.0, description=WARMUP)
    warmup_steps: int | None = Field(default=None, ge=0, description=WARMUP_STEPS)


ScheduleRecipe = Annotated[Cosine | StepDecay, Field(discriminator="kind")]


def _as_words(value: Any) -> Any:
    """Accepts 32 as well as "32"."""
    return str(value) if isinstance(value, int) else value


class LoopRecipe(Recipe):
    """How steps are computed, logged and saved."""

    precision: Annotated[Literal["auto", "bf16", "32"], BeforeValidator(_as_words)] = Field(
        default="auto",
        description="bf16 autocast, 32-bit throughout, or auto: bf16 where the device has it",
    )
    channels_last: bool = Field(
        default=True, description="channels-last memory: faster convolutions"
    )
    compile: bool = Field(default=False, description="torch.compile: slow at first, then faster")
    recompute: bool = Field(
        default=False, description="activation checkpointing: less memory, a third more time"
    )
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="device")
    log_every: int = Field(default=10, ge=1, description="steps between logs")
    checkpoint_every: int | None = Field(default=500, ge=1, description="steps between checkpoints")
    checkpoint_minutes: float | None = Field(
        default=10, gt=0, description="minutes between checkpoints; whichever comes first"
    )
    keep: int = Field(default=1, ge=1, description="checkpoints to keep, including the last one")
    wandb: str | None = Field(
        default=None, description="project of Weights & Biases to log to as well; null: none"
    )
