"""What a training does, step by step, and what it calls on the way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from detcon.train.optim import lr_multiplier, peak_lr
from detcon.train.probing import Probing
from detcon.train.recipe import AdamW, Cosine, Lars, LoopRecipe, Sgd, StepDecay
from detcon.train.unreadable import UnreadablePhotos


@dataclass(frozen=True)
class Plan:
    """The updates of a training.

    Attributes:
        steps: Updates in all.
        batch_size: Photos in a step, on all ranks.
        optimizer: Its learning rate is the peak.
        schedule: What share of the peak each step has.
        loop: Precision, logs, checkpoints.
        passes: Into how many parts each rank's share of a batch is cut; their gradients are added
            up for one update, and the loss is their mean. Batch norms see one part at a time.
        sync_norms: Whether batch norms join the batches of all ranks.
        title: Before the progress bar.
    """

    steps: int
    batch_size: int
    optimizer: Lars | Sgd | AdamW
    schedule: Cosine | StepDecay
    loop: LoopRecipe
    passes: int = 1
    sync_norms: bool = False
    title: str = "pretraining"

    def rate(self, step: int) -> float:
        """The learning rate of step `step`, from 0."""
        peak = peak_lr(self.optimizer, self.batch_size)
        return peak * lr_multiplier(self.schedule, step, self.steps)


@dataclass(frozen=True)
class Hooks:
    """What the loop calls or reports to; all of it is optional.

    Attributes:
        after_step: Called after the optimiser with the number of the step, from 0: for the EMA.
        observe: Turns the module's second output into figures for the log; at log steps only.
        names: The photos of a batch, for messages.
        probing: What is measured now and then; it leaves the training as it was.
        unreadable: Counts `batch.passed_over`, the photos that can't be read.
        if_waiting: What to change if the training waits for data.
    """

    after_step: Callable[[int], None] | None = None
    observe: Callable[[Any], dict[str, float]] | None = None
    names: Callable[[Any], list[str]] | None = None
    probing: Probing | None = None
    unreadable: UnreadablePhotos | None = None
    if_waiting: str = "give more workers="
