"""Optimisers and schedules made from their recipes; biases and norms are treated apart."""

from typing import Any

import torch
from timm.optim.lars import Lars as TimmLars
from torch import nn

from detcon.ops.schedules import step_decay, warmup_cosine
from detcon.train.recipe import AdamW, Cosine, Lars, Sgd, StepDecay

FUSED = ("cpu", "cuda")  # where torch updates all parameters in one kernel


class NothingToTrain(ValueError):
    """Every parameter of the module is frozen."""


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
