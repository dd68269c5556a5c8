"""Schedules of the learning rate and of the target's average, as pure functions of the step.

`step` is the number of updates already made, so 0 at the first one, as `global_step` in the
official code; `total` that of the whole run, `warmup` that of the rise.
"""

import math
from collections.abc import Sequence


def warmup_cosine(step: int, *, total: int, warmup: int = 0) -> float:
    """Rises in a straight line from 0, then falls along half a cosine to 0.

    As in `optimizers.py` of the official code: the first update of a run with warm-up has rate 0.

    Returns:
        The share of the peak rate, between 0 and 1.
    """
    if step < warmup:
        return step / warmup
    done = (step - warmup) / max(1, total - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def step_decay(
    step: int,
    *,
    total: int,
    warmup: int = 0,
    milestones: Sequence[float] = (0.7, 0.9),
    gamma: float = 0.1,
) -> float:
    """Rises in a straight line, then is multiplied by `gamma` at each milestone.

    The defaults are those of PASCAL and Cityscapes segmentation in MoCo (appendix A.5) and BYOL
    (appendix D.4).

    Args:
        milestones: Shares of the run after which the rate falls.
        gamma: The factor.

    Returns:
        The share of the peak rate.
    """
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    passed = sum(step >= share * total for share in milestones)
    return rise * gamma**passed


def ema_rate(step: int, *, total: int, base: float) -> float:
    """How much of the target network stays at this update (BYOL, section 3.2, Eq. for tau).

    Args:
        base: The rate at the start: 0.996 for 1000 epochs, 0.99 for 300.

    Returns:
        `base` at first, 1 at the end, along half a cosine.
    """
    return 1 - (1 - base) * (1 + math.cos(math.pi * min(1.0, step / max(1, total)))) / 2
