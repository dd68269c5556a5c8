"""Activation checkpointing: blocks are computed again in the backward pass to save memory."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """Applies a block that draws no random numbers, keeping nothing but its input.

    The second pass leaves the running statistics of batch norms alone, which
    `torch.utils.checkpoint` by itself would move twice.
    """
    return checkpoint(
        block,
        x,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (nullcontext(), _unmoved_statistics(block)),
    )


@contextmanager
def _unmoved_statistics(block: nn.Module) -> Iterator[None]:
    norms = [part for part in block.modules() if isinstance(part, _BatchNorm)]
    counts = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
    before = [count.clone() for count in counts]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # exactly: running = 1 * running + 0 * batch
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for count, value in zip(counts, before, strict=True):
            count.copy_(value)
