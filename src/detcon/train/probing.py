"""Measuring the network now and then, without a trace in the training."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from lightning.fabric import Fabric

from detcon.train.checkpoint import rng_state, set_rng_state
from detcon.train.environment import agree


@dataclass(frozen=True)
class Probing:
    """A measurement, and when it is due: every `every` steps, and after the last one.

    Attributes:
        every: Steps from one to the next.
        measure: Figures of the module as it is; it must not change the module. Called by the first
            rank alone: it must not wait for others.
        keep: Called there after it with the number of steps made and the figures.
    """

    every: int
    measure: Callable[[], dict[str, float]]
    keep: Callable[[int, dict[str, float]], None] | None = None

    def is_due(self, step: int, steps: int) -> bool:
        """Whether to measure after step `step` of `steps`."""
        return step % self.every == 0 or step == steps

    def figures(self, fabric: Fabric, step: int) -> dict[str, float]:
        """Measures on the first rank, while the others wait; random generators are put back.

        Args:
            fabric: Joins the ranks.
            step: How many steps were made.

        Returns:
            The figures, and `probe_seconds`; nothing but that on other ranks.

        Raises:
            ValueError: What the measurement raised, or on other ranks that it did; OSError
                likewise.
        """
        begin = time.monotonic()
        figures: dict[str, float] = {}
        failure: ValueError | OSError | None = None
        if fabric.global_rank == 0:
            before = rng_state(fabric.device)
            try:
                figures = self.measure()
                if self.keep is not None:
                    self.keep(step, figures)
            except (ValueError, OSError) as error:
                failure = error
            finally:
                set_rng_state(before, fabric.device)
        if any(agree(fabric, failure is not None)):
            raise failure or ValueError("the first rank couldn't probe; its own message says why")
        return figures | {"probe_seconds": time.monotonic() - begin}
