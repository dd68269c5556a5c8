"""Fresh weights, as the official code draws them."""

import math

from torch import nn

from detcon.models.resnet import Block


def initialise(module: nn.Module, *, zero_init: bool = True) -> None:
    """Draws fresh weights as the official code does: truncated normal, 1/sqrt(fan in); biases 0.

    The scale of the last norm of each residual branch starts at 0, so that a block starts as the
    identity (`scale_init` of Haiku's ResNet blocks); without `zero_init` at 1, as other norms'.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        std = 1 / math.sqrt(module.weight[0].numel())
        nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        module.reset_parameters()
    if zero_init and isinstance(module, Block):
        nn.init.zeros_(module.last_norm.weight)
