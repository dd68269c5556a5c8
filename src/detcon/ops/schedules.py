"""Schedules of the learning rate and of the target network's EMA rate, by the step.

`step` is the number of updates made before, so 0 at the first one, as `global_step` in the
official code; `total` is that of the whole run, `warmup` that of the warm-up.
"""

import math
from collections.abc import Sequence


def warmup_cosine(step: int, *, total: int, warmup: int = 0) -> float:
    """Linear warm-up from 0, then half a cosine down to 0, as a share of the peak rate.

    As in `optimizers.py` of the official code: the first update of a run with warm-up has rate 0.

    >>> [round(warmup_cosine(step, total=6, warmup=2), 3) for step in range(7)]
    [0.0, 0.5, 1.0, 0.854, 0.5, 0.146, 0.0]
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
    """Linear warm-up, then times `gamma` at each milestone, as a share of the peak rate.

    Milestones are shares of the run. The defaults are those of PASCAL and Cityscapes segmentation
    in MoCo (appendix A.5) and BYOL (appendix D.4).

    >>> [round(step_decay(step, total=10, warmup=2), 2) for step in (0, 1, 6, 7, 9)]
    [0.5, 1.0, 1.0, 0.1, 0.01]
    """
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    passed = sum(step >= share * total for share in milestones)
    return rise * gamma**passed


def ema_rate(step: int, *, total: int, base: float) -> float:
    """The EMA rate of the target network (tau of BYOL, section 3.2): from `base` to 1 by a cosine.

    BYOL starts at 0.996 for 1000 epochs, at 0.99 for 300.

    >>> [round(ema_rate(step, total=100, base=0.99), 4) for step in (0, 50, 100)]
    [0.99, 0.995, 1.0]
    """
    return 1 - (1 - base) * (1 + math.cos(math.pi * min(1.0, step / max(1, total)))) / 2
