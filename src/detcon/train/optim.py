"""Optimisers and schedules as recipes, and the groups of parameters that they treat differently."""

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from timm.optim.lars import Lars as TimmLars
from torch import nn

from detcon.config import Recipe
from detcon.ops.schedules import step_decay, warmup_cosine

Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
FUSED = ("cpu", "cuda")  # where torch updates all parameters in one kernel
WARMUP = "warm-up from 0, as a share of all steps"
WARMUP_STEPS = "warm-up in steps, instead of a share"


class NothingToTrain(ValueError):
    """Every parameter of the module is frozen."""


class Lars(Recipe):
    """Layer-wise adaptive SGD (You et al., 2017) for large batches, as DetCon and BYOL use it.

    This is timm's. For each layer with weights p and gradient g it takes `u = g + wd * p`, scales
    it by `trust * |p| / (|g| + wd * |p|)`, adds it to the momentum, `m = momentum * m + u`, and
    steps, `p -= lr * m`. The official code divides by `|g + wd * p|` instead, so that timm's
    update is the smaller one, by at most the share `2 * wd * |p| / |g|`: nothing to speak of at
    the weight decay of 1.5e-6 in use. Biases and norms get neither decay nor trust ratio, as in
    the official code; the other group says `always_adapt=True`, since timm drops the ratio of a
    group whose decay is 0.
    """

    kind: Literal["lars"] = "lars"
    lr: Rate = Field(description="peak learning rate, for a batch of 256 where scale_lr is true")
    weight_decay: float = Field(default=1.5e-6, ge=0, description="not on biases and norms")
    momentum: Share = Field(default=0.9, description="of the heavy ball, no Nesterov")
    trust: Rate = Field(default=1e-3, description="LARS trust coefficient")
    scale_lr: bool = Field(default=True, description="multiply lr by (global batch) / 256")


class Sgd(Recipe):
    """Stochastic gradient descent, as the transfer protocols use it."""

    kind: Literal["sgd"] = "sgd"
    lr: Rate = Field(description="peak learning rate")
    momentum: Share = Field(default=0.9, description="of the heavy ball")
    weight_decay: float = Field(default=1e-4, ge=0, description="L2 penalty")
    nesterov: bool = Field(default=False, description="Nesterov's momentum")
    decay_all: bool = Field(default=False, description="decay biases and norms too")
    scale_lr: bool = Field(default=False, description="multiply lr by (global batch) / 256")


class AdamW(Recipe):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019), for small batches and ViTs."""

    kind: Literal["adamw"] = "adamw"
    lr: Rate = Field(description="peak learning rate")
    weight_decay: float = Field(default=0.05, ge=0, description="decoupled")
    betas: tuple[Share, Share] = Field(default=(0.9, 0.999), description="of the two moments")
    decay_all: bool = Field(default=False, description="decay biases and norms too")
    scale_lr: bool = Field(default=False, description="multiply lr by (global batch) / 256")


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


def peak_lr(recipe: Lars | Sgd | AdamW, batch_size: int) -> float:
    """The rate that the schedule multiplies, for a global batch of `batch_size` photos."""
    return recipe.lr * batch_size / 256 if recipe.scale_lr else recipe.lr


def lr_multiplier(recipe: Cosine | StepDecay, step: int, total: int) -> float:
    """What share of the peak rate step `step` (from 0) of `total` uses."""
    given = recipe.warmup_steps
    warmup = round(recipe.warmup * total) if given is None else given
    if isinstance(recipe, Cosine):
        return warmup_cosine(step, total=total, warmup=warmup)
    return step_decay(
        step, total=total, warmup=warmup, milestones=recipe.milestones, gamma=recipe.gamma
    )


def split_parameters(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Sorts what is trained into (weights, biases and norms); frozen parameters are left out.

    A norm is a module whose class name says so; its parameters count as such whatever their
    shape, and so does every parameter of at most one axis.
    """
    weights: dict[nn.Parameter, None] = {}
    small: dict[nn.Parameter, None] = {}
    for part in module.modules():
        is_norm = "norm" in type(part).__name__.lower()
        for parameter in part.parameters(recurse=False):
            if parameter.requires_grad:
                group = small if is_norm or parameter.ndim <= 1 else weights
                group[parameter] = None
    return list(weights), [parameter for parameter in small if parameter not in weights]


def build_optimizer(
    recipe: Lars | Sgd | AdamW, module: nn.Module, batch_size: int
) -> torch.optim.Optimizer:
    """Makes the optimiser of a recipe over what the module trains.

    Args:
        recipe: Which optimiser.
        module: Parameters with `requires_grad=False` are left out.
        batch_size: Photos in a step, on all ranks together; scales the rate where asked for.

    Raises:
        NothingToTrain: If every parameter is frozen.
    """
    weights, small = split_parameters(module)
    if not weights and not small:
        raise NothingToTrain(
            f"{type(module).__name__} has no parameter to train: all are frozen; "
            f"set requires_grad on some, or do not train it"
        )
    lr = peak_lr(recipe, batch_size)
    if isinstance(recipe, Lars):
        return _lars(recipe, weights, small, lr)
    decay = recipe.weight_decay
    groups = [
        {"params": weights, "weight_decay": decay},
        {"params": small, "weight_decay": decay if recipe.decay_all else 0.0},
    ]
    fused = all(p.device.type in FUSED for p in weights + small)
    if isinstance(recipe, Sgd):
        return torch.optim.SGD(
            groups, lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused
        )
    return torch.optim.AdamW(groups, lr, betas=recipe.betas, fused=fused)


def _lars(
    recipe: Lars, weights: list[nn.Parameter], small: list[nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    """Two groups; only the weights are decayed and adapted."""
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay, "always_adapt": True},
        {"params": small, "weight_decay": 0.0, "always_adapt": False},
    ]
    momentum: Any = recipe.momentum  # timm's signature says int
    return TimmLars(groups, lr=lr, momentum=momentum, trust_coeff=recipe.trust)
