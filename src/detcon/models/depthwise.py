"""Depthwise convolutions whose gradient oneDNN computes slowly in bfloat16."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn


def compute_depthwise_in_32_bits(module: nn.Module) -> None:
    """Takes the slow ones out of autocast, in place; weights and results keep their types.

    On CPUs oneDNN has fast kernels for 3 x 3 at stride 1 alone. The backward pass of others takes
    up to twelve times as long in bfloat16 as in 32 bits: an EfficientNet's whole step 2.7 times.
    """
    for part in module.modules():
        if _is_slow(part) and "forward" not in vars(part):
            part.forward = partial(_in_32_bits, part.forward)


def _is_slow(part: nn.Module) -> bool:
    return (
        isinstance(part, nn.Conv2d)
        and part.groups == part.in_channels > 1
        and (max(part.stride) > 1 or max(part.kernel_size) > 3)
    )


def _in_32_bits(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if not torch.is_autocast_enabled(x.device.type):  # after the training: whatever the weights are
        return forward(x)
    with torch.autocast(x.device.type, enabled=False):
        return forward(x.float()).to(x.dtype)
