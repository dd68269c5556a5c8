"""The plan of a training, and the hooks that it calls."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from detcon.train.optim import lr_multiplier, peak_lr
from detcon.train.random_state import rng_untouched
from detcon.train.recipe import AdamW, Cosine, Lars, LoopRecipe, Sgd, StepDecay
from detcon.train.replica import Replica, agree
from detcon.train.unreadable import UnreadablePhotos


@dataclass(frozen=True)
class Plan:
    """How many updates a training makes, and how.

    Attributes:
        steps: Updates in all.
        batch_size: Photos in a step, on all ranks.
        optimizer: Its learning rate is the peak.
        schedule: Gives each step its share of the peak.
        loop: Precision, logs, checkpoints.
        passes: Equal parts of each rank's share of a batch. Their gradients are added up for one
            update, and the loss is their mean. Batch norms see one part at a time.
        sync_norms: Whether batch norms join the batches of all ranks.
        warm_heads: First steps, in which the encoder keeps its weights.
        anchor: Pulls the encoder to the weights that it started with.
        title: Title of the progress bar.
    """

    steps: int
    batch_size: int
    optimizer: Lars | Sgd | AdamW
    schedule: Cosine | StepDecay
    loop: LoopRecipe
    passes: int = 1
    sync_norms: bool = False
    warm_heads: int = 0
    anchor: float = 0.0
    title: str = "pretraining"

    def rate(self, step: int) -> float:
        """The learning rate of step `step`, from 0."""
        peak = peak_lr(self.optimizer, self.batch_size)
        return peak * lr_multiplier(self.schedule, step, self.steps)


@dataclass(frozen=True)
class Finding:
    """What a probe says of a run: a sentence for the user, "" for none; whether to end it."""

    sentence: str = ""
    stop: bool = False


@dataclass(frozen=True)
class Probing:
    """A measurement at every `every`-th step and after the last one, on the first rank.

    Attributes:
        every: Steps from one to the next.
        measure: Figures of the module, which it must not change. It must not wait for other ranks.
        judge: Called afterwards with the number of steps made and the figures.
        at_start: Whether to measure before the first step too.
        is_over: Whether a run that goes on had ended by a finding before.
    """

    every: int
    measure: Callable[[], dict[str, float]]
    judge: Callable[[int, dict[str, float]], Finding] = lambda step, figures: Finding()
    at_start: bool = False
    is_over: Callable[[], bool] = lambda: False

    def is_due(self, step: int, steps: int) -> bool:
        """Whether to measure after step `step` of `steps`."""
        return self.at_start if step == 0 else step % self.every == 0 or step == steps

    def figures(self, replica: Replica, step: int) -> tuple[dict[str, float], Finding]:
        """Measures after `step` steps, while the other ranks wait; they get only `probe_seconds`.

        Raises:
            ValueError: If the measurement failed, on all ranks; on the first also OSError.
        """
        begin = time.monotonic()
        figures: dict[str, float] = {}
        failure: ValueError | OSError | None = None
        finding = Finding()
        if replica.rank == 0:
            try:
                with rng_untouched(replica.device):
                    figures = self.measure()
                    finding = self.judge(step, figures)
            except (ValueError, OSError) as error:
                failure = error
        failed, stop = agree(replica, failure is not None, finding.stop)
        if failed:
            raise failure or ValueError("the first rank couldn't probe; its own message says why")
        figures["probe_seconds"] = time.monotonic() - begin
        return figures, Finding(finding.sentence, stop)


@dataclass(frozen=True)
class Hooks:
    """Functions that the loop calls, all optional.

    Attributes:
        after_step: Called after the optimiser with the number of the step, from 0: for the EMA.
        observe: Turns the module's second output into figures for the log; at log steps only.
        names: The photos of a batch, for messages.
        probing: A measurement at regular steps; it leaves the training as it was.
        unreadable: Counts `batch.passed_over`, the photos that can't be read.
        if_waiting: Advice to the user if the training waits for data.
    """

    after_step: Callable[[int], None] | None = None
    observe: Callable[[Any], dict[str, float]] | None = None
    names: Callable[[Any], list[str]] | None = None
    probing: Probing | None = None
    unreadable: UnreadablePhotos | None = None
    if_waiting: str = "give more workers="
