"""The loop: one for pretraining and for every transfer task."""

from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from torch import nn

from detcon.train.environment import has_bfloat16
from detcon.train.metrics import MetricsLog
from detcon.train.monitor import Waiting
from detcon.train.optim import lr_multiplier, peak_lr
from detcon.train.probing import Probing
from detcon.train.progress import ProgressReport
from detcon.train.recipe import AdamW, Cosine, Lars, LoopRecipe as LoopRecipe, Sgd, StepDecay
from detcon.train.state import start
from detcon.train.steps import Steps
from detcon.train.stop import StopSignals
from detcon.train.unreadable import UnreadablePhotos


def fit(
    module: nn.Module,
    open_batches: Callable[[int], Iterable[Any]],
    *,
    folder: Path,
    steps: int,
    optimizer: Lars | Sgd | AdamW,
    schedule: Cosine | StepDecay,
    loop: LoopRecipe,
    batch_size: int,
    passes: int = 1,
    sync_norms: bool = False,
    after_step: Callable[[int], None] | None = None,
    observe: Callable[[Any], dict[str, float]] | None = None,
    names: Callable[[Any], list[str]] | None = None,
    probing: Probing | None = None,
    unreadable: UnreadablePhotos | None = None,
    if_waiting: str = "give more workers=",
    title: str = "pretraining",
) -> None:
    """Trains a module; goes on from `folder/checkpoints/last.ckpt` where there is one.

    Resumed or not, the weights come out the same, bit for bit, if a batch depends on its step
    alone and draws nothing from the global generators. The module's train and eval modes are left
    as they are.

    Args:
        module: `module(batch)` returns a scalar loss and anything, for `observe`.
        open_batches: Given the first step, yields the batches from there on, this rank's share of
            each. A batch has `to(device)`, and `split(passes)` where there are several passes.
        folder: The run folder (`detcon.train.run.open_run`).
        steps: Updates in all.
        optimizer: Its learning rate is the peak.
        schedule: What share of the peak each step has.
        loop: Precision, logs, checkpoints.
        batch_size: Photos in a step, on all ranks.
        passes: Into how many parts each rank's share of a batch is cut; their gradients are added
            up for one update, and the loss is their mean. Batch norms see a part at a time.
        sync_norms: Whether batch norms join the batches of all ranks.
        after_step: Called after the optimiser with the number of the step, from 0: for the EMA.
        observe: Turns the module's second output into figures for the log; at log steps only.
        names: The photos of a batch, for messages.
        probing: What is measured now and then; it leaves the training as it was.
        unreadable: What counts `batch.passed_over`, the photos that can't be read.
        if_waiting: What to change if data are waited for.
        title: Before the progress bar.

    Raises:
        NonFiniteLoss: After saving the state before that step, with the names of its photos.
        CheckpointError: If a checkpoint cannot be read, used or written.
        ValueError: If the data end early.
        WandbError: If W&B is asked for and can't be had.
        TooManyUnreadable: With a checkpoint saved.
        Stopped: After Ctrl-C or SIGTERM, with a checkpoint saved.
    """
    training = start(module, folder, optimizer, loop, batch_size, sync_norms)
    training.resume()
    first = training.fabric.global_rank == 0
    log = MetricsLog(folder, step=training.step, write=first, wandb=loop.wandb)
    report = ProgressReport(title, step=training.step, steps=steps, show=first)
    with closing(log), report, StopSignals() as stop:
        if training.step >= steps:
            report.say(f"{title}: all {steps} steps were made already")
            return
        if training.step:
            report.say(f"{title}: going on after step {training.step} of {steps}")
        elif loop.precision == "bf16" and not has_bfloat16(training.fabric.device):
            report.say("this processor has no bfloat16: loop.precision=32 would be faster")
        if training.num_narrow and not training.step:
            report.say(
                f"{training.num_narrow} narrow convolutions don't use channels-last memory, where "
                f"this CPU would compute wrong gradients (oneDNN#6035)"
            )
        peak = peak_lr(optimizer, batch_size)
        rates = [peak * lr_multiplier(schedule, step, steps) for step in range(steps)]
        told = after_step, observe, names, probing, unreadable, Waiting(if_waiting)
        run = Steps(training, rates, batch_size, passes, loop, log, report, stop, *told)
        run.pass_over()  # those of before
        run.through(iter(open_batches(training.step)))
