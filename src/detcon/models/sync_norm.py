"""Batch norm over the joined batch of all ranks.

On GPUs this is torch's `SyncBatchNorm`. That one refuses tensors on the CPU, and DistributedData-
Parallel refuses models that hold it there; `CpuSyncNorm` is the same arithmetic for gloo.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def synchronise_norms(module: nn.Module, device: str) -> nn.Module:
    """Replaces every batch norm within a module by one that joins the batches of all ranks.

    The state dict stays the same, and so does the result in eval mode or on one rank. Returns the
    module, changed in place, or its replacement where it is itself a batch norm.
    """
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        return _joined(module, nn.SyncBatchNorm if device == "cuda" else CpuSyncNorm)
    for name, part in module.named_children():
        setattr(module, name, synchronise_norms(part, device))
    return module


def _joined(norm: nn.BatchNorm1d | nn.BatchNorm2d, kind: type[_BatchNorm]) -> nn.Module:
    """The same norm over all ranks; it shares its tensors, so that optimisers keep theirs."""
    joined = kind(
        norm.num_features,
        norm.eps,
        norm.momentum,
        affine=norm.affine,
        track_running_stats=norm.track_running_stats,
    )
    for name, tensor in (*norm.named_parameters(), *norm.named_buffers()):
        setattr(joined, name, tensor)
    return joined.train(norm.training)


class CpuSyncNorm(_BatchNorm):
    """Batch norm 1d and 2d over the joined batch, by differentiable sums over all ranks.

    Ranks may hold different numbers of rows, and none at all; without a row on any rank the running
    statistics stay as they are. As torch's, it computes in float32 at least, normalises by the
    biased variance of the joined batch, and keeps the unbiased one.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(
                f"batch norm wants rows of channels, not a tensor of {input.ndim} axes"
            )

    def forward(self, input: Tensor) -> Tensor:
        alone = not dist.is_initialized() or dist.get_world_size() == 1
        if alone or not self.training or input.is_meta:  # shapes alone, as `feature_grid` asks
            return super().forward(input)
        self._check_input_dim(input)
        with torch.autocast(input.device.type, enabled=False):
            return self._normalise(input).to(input.dtype)

    def _normalise(self, input: Tensor) -> Tensor:
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        axes = [0, *range(2, x.ndim)]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        rows = x.new_tensor([x.numel() / max(x.shape[1], 1)])
        # one reduction for sums and counts: ranks may hold different numbers of rows
        joined = sum_over_ranks(torch.cat([x.sum(axes), rows]))
        count = joined[-1].detach()
        mean = joined[:-1] / count.clamp(min=1)
        # var = E[(x - mean)^2] in a second reduction: E[x^2] - mean^2 would cancel in float32
        x = x - mean.view(shape)
        variance = sum_over_ranks((x * x).sum(axes)) / count.clamp(min=1)
        self._remember(mean.detach(), variance.detach(), count)
        x = x * torch.rsqrt(variance + self.eps).view(shape)
        return x if self.weight is None else x * self.weight.view(shape) + self.bias.view(shape)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        # running <- (1 - share) running + share batch; share is 0 if no rank had a row
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        share = share * (count > 0).to(mean.dtype)  # not in float32, where 0.1 is another number
        unbiased = variance * count / (count - 1).clamp(min=1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


class _SumOverRanks(torch.autograd.Function):
    """A sum over ranks whose backward pass sums the gradients over all ranks too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (grad,) = grads
        total = grad.clone()
        dist.all_reduce(total)
        return total


def sum_over_ranks(x: Tensor) -> Tensor:
    """The sum of all ranks' tensors; gradients flow back to all ranks."""
    total = _SumOverRanks.apply(x)
    assert isinstance(total, Tensor)
    return total
