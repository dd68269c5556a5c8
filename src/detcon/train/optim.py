"""Optimisers and schedules built from their recipes, with biases and norms in their own group."""

from typing import Any

import torch
from torch import _foreach_add, _foreach_add_, _foreach_mul_, _foreach_norm, nn  # pyright: ignore[reportPrivateImportUsage]

from detcon.models.layers import layer_numbers
from detcon.ops.schedules import step_decay, warmup_cosine
from detcon.train.recipe import AdamW, Cosine, Lars, Sgd, StepDecay

FUSED = ("cpu", "cuda")  # where torch updates all parameters in one kernel


class NothingToTrain(ValueError):
    """Every parameter of the module is frozen."""


def peak_lr(recipe: Lars | Sgd | AdamW, batch_size: int) -> float:
    """The peak learning rate for a global batch of `batch_size` photos."""
    return recipe.lr * batch_size / 256 if recipe.scale_lr else recipe.lr


def lr_multiplier(recipe: Cosine | StepDecay, step: int, total: int) -> float:
    """The share of the peak rate at step `step` (from 0) of `total`."""
    given = recipe.warmup_steps
    warmup = round(recipe.warmup * total) if given is None else given
    if isinstance(recipe, Cosine):
        return warmup_cosine(step, total=total, warmup=warmup)
    return step_decay(
        step, total=total, warmup=warmup, milestones=recipe.milestones, gamma=recipe.gamma
    )


def split_parameters(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Splits the trained parameters into (weights, biases and norms); frozen ones are left out.

    A norm is a module whose class name says so; its parameters of any shape belong to
    the second group, and so does every parameter of at most one axis.
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
    """Makes the optimiser for the trained parameters of a module.

    `batch_size`, over all ranks, scales the rate where `scale_lr` is set.

    Raises:
        NothingToTrain: If every parameter is frozen.
    """
    weights, small = split_parameters(module)
    if not weights and not small:
        raise NothingToTrain(
            f"{type(module).__name__} has no parameter to train: all are frozen; "
            f"set requires_grad on some, or do not train it"
        )
    lr, decay = peak_lr(recipe, batch_size), recipe.weight_decay
    if isinstance(recipe, Lars):  # only the weights are decayed and adapted
        groups = [
            {"params": weights, "weight_decay": decay, "always_adapt": True},
            {"params": small, "weight_decay": 0.0, "always_adapt": False},
        ]
        groups = _by_rate(groups, recipe, module)
        common = {"lr": lr, "momentum": recipe.momentum, "trust_coeff": recipe.trust}
        return LayerwiseSgd(groups, common)
    groups = [
        {"params": weights, "weight_decay": decay},
        {"params": small, "weight_decay": decay if recipe.decay_all else 0.0},
    ]
    groups = _by_rate(groups, recipe, module)
    fused = all(p.device.type in FUSED for p in weights + small)
    if isinstance(recipe, Sgd):
        return torch.optim.SGD(
            groups, lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused
        )
    return torch.optim.AdamW(groups, lr, betas=recipe.betas, fused=fused)


def _by_rate(
    groups: list[dict[str, Any]], recipe: Lars | Sgd | AdamW, module: nn.Module
) -> list[dict[str, Any]]:
    """Cuts groups into parts of one rate: `scale` multiplies the rate of the schedule.

    The scale of heads is 1; that of an encoder's layer l of n is encoder_lr / lr *
    layer_decay^(n + 1 - l), as in BEiT (arXiv:2106.08254) with a head behind the last layer.
    """
    encoder = getattr(module, "encoder", None)
    ratio = 1.0 if recipe.encoder_lr is None else recipe.encoder_lr / recipe.lr
    decay = 1.0 if recipe.layer_decay is None else recipe.layer_decay
    if encoder is None or ratio == decay == 1.0:
        return groups
    layers = layer_numbers(encoder)
    top = max(layers.values(), default=0) + 1
    of = {p: ratio * decay ** (top - layers[name]) for name, p in encoder.named_parameters()}
    parts = []
    for group in groups:
        scales = [of.get(parameter, 1.0) for parameter in group["params"]]
        for scale in sorted(set(scales)):
            same = [p for p, own in zip(group["params"], scales, strict=True) if own == scale]
            parts.append({**group, "params": same, "scale": scale})
    return parts


class LayerwiseSgd(torch.optim.Optimizer):
    """LARS as in the official code (`optimizers.py`), for large batches.

    For each layer with weights p and gradient g: u = g + wd * p; in groups that adapt,
    u = u * trust * |p| / |u| where both lengths are above 0; m = momentum * m + u; p = p - lr * m.
    The names of settings and state are those of timm's LARS, so that checkpoints made with it,
    before this class, still resume.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of all parameters that have a gradient."""
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            gradients = [p.grad for p in weights]
            updates = _foreach_add(gradients, weights, alpha=group["weight_decay"])
            if group["always_adapt"]:
                lengths = zip(_foreach_norm(weights), _foreach_norm(updates))
                trust = group["trust_coeff"]
                ratios = [torch.where((w > 0) & (u > 0), trust * w / u, 1.0) for w, u in lengths]
                _foreach_mul_(updates, ratios)
            for p in weights:
                if "momentum_buffer" not in self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            moments = [self.state[p]["momentum_buffer"] for p in weights]
            _foreach_mul_(moments, group["momentum"])
            _foreach_add_(moments, updates)
            _foreach_add_(weights, moments, alpha=-group["lr"])
