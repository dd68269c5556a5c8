"""Channels-last memory, except where a CPU would compute wrong gradients in it.

On x86 CPUs oneDNN computes the weight gradient of a strided 1 x 1 convolution by first copying the
pixels that the stride keeps. For channels-last tensors with fewer input channels than a block (8
with AVX2, 16 with AVX-512) that copy is written past its workspace (oneDNN#6035, in torch 2.14.1).
With one thread the process crashes; with several the gradients are wrong, or the threads wait for
each other forever. Contiguous tensors are safe. It takes both: a channels-last weight makes torch
turn a contiguous input into a channels-last one, and the other way round.
"""

from typing import Any

import torch
from torch import Tensor, nn

BLOCK = 16  # channels; of the widest instructions, so that all CPUs compute in the same way


def set_memory_format(module: nn.Module, *, channels_last: bool, device: str) -> int:
    """Sets the memory format of a network's weights in place, before it is trained.

    Photos may come with channels last either way. Returns how many convolutions were made to
    compute on contiguous tensors, as they must on a `device` of "cpu".
    """
    if channels_last:
        module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    unsafe = [part for part in module.modules() if device == "cpu" and _is_unsafe(part)]
    for convolution in unsafe:
        weight: Any = convolution.weight
        # `contiguous()` would do nothing: a 1 x 1 kernel counts as contiguous in any strides
        weight.data = weight.data.clone(memory_format=torch.contiguous_format)
        convolution.register_forward_pre_hook(_contiguous)
    return len(unsafe)


def _is_unsafe(part: nn.Module) -> bool:
    return (
        isinstance(part, nn.Conv2d)
        and part.kernel_size == (1, 1)
        and max(part.stride) > 1
        and part.groups == 1
        and part.in_channels < BLOCK
    )


def _contiguous(convolution: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(x.clone(memory_format=torch.contiguous_format) for x in inputs)
