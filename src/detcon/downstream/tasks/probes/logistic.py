"""Multinomial logistic regression by L-BFGS: the problem of all linear probes.

The problem is convex and has one solution, so a figure depends neither on a learning rate nor on
how the layer was initialised.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Iterable[Float[Tensor, ""]]]
"""From weight and bias to parts of the loss, whose sum it is; one at a time is in memory."""


def minimise(loss: Loss, weight: Tensor, bias: Tensor, iterations: int) -> None:
    """Minimises the loss over weight and bias, in place, from the values that they hold."""
    weight.requires_grad_(True)
    bias.requires_grad_(True)
    solver = torch.optim.LBFGS(
        [weight, bias],
        max_iter=iterations,
        history_size=20,
        tolerance_grad=1e-6,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        solver.zero_grad()
        total = 0.0
        for part in loss(weight, bias):
            part.backward()
            total += float(part.detach())
        return total

    with torch.enable_grad():
        solver.step(closure)
    weight.requires_grad_(False)
    bias.requires_grad_(False)


def moments(
    parts: Sequence[Float[Tensor, "c _"]],
) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Mean and deviation of each channel over all columns; 1 for a constant channel."""
    count = sum(part.shape[1] for part in parts)
    mean = torch.stack([part.double().sum(1) for part in parts]).sum(0) / count
    squares = [(part.double() - mean[:, None]).square().sum(1) for part in parts]
    std = (torch.stack(squares).sum(0) / count).sqrt()
    std = torch.where(std > 1e-6 * (1 + mean.abs()), std, torch.ones_like(std))
    return mean.float(), std.float()
