"""Non-finite losses: report step and photos, and undo the step where that costs little."""

from collections.abc import Iterable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from detcon.train.random_state import rng_state, set_rng_state

NONFINITE = Path("checkpoints") / "nonfinite.ckpt"
SHOWN = 8


class NonFiniteLoss(ValueError):
    """A loss, or the weights after a step, are NaN or infinite."""


class Before:
    """A copy of what a forward pass changes: buffers (statistics of norms) and random states.

    Made before each step on a CPU, where it costs little, so that a step with a non-finite loss
    leaves no trace.
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self._module, self._device = module, device
        self._buffers = [buffer.clone() for buffer in module.buffers()]
        self._rng = rng_state(device)

    def restore(self) -> None:
        """Undoes the forward pass."""
        for buffer, value in zip(self._module.buffers(), self._buffers, strict=True):
            buffer.copy_(value)
        set_rng_state(self._rng, self._device)


def first_nonfinite(
    before: Float[Tensor, ""], loss: Float[Tensor, ""], step: int
) -> Float[Tensor, ""]:
    """The first step with a non-finite loss, or -1; stays on the device, without waiting for it."""
    is_first = ~torch.isfinite(loss.detach()) & (before < 0)
    return torch.where(is_first, float(step), before)


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no number is NaN or infinite; asks the device once."""
    checks = [torch.isfinite(t).all() for t in tensors if t.is_floating_point()]
    return not checks or bool(torch.stack(checks).all())
