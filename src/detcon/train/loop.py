"""The loop: one for pretraining and for every transfer task."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from detcon.train.environment import agree
from detcon.train.finite import NONFINITE, Before
from detcon.train.metrics import MetricsLog
from detcon.train.monitor import Throughput, Waiting
from detcon.train.optim import AdamW, Cosine, Lars, Sgd, StepDecay, lr_multiplier, peak_lr
from detcon.train.probing import Probing
from detcon.train.progress import ProgressReport
from detcon.train.recipe import LoopRecipe as LoopRecipe
from detcon.train.state import Training, start
from detcon.train.stop import Stopped, StopSignals
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
        peak = peak_lr(optimizer, batch_size)
        rates = [peak * lr_multiplier(schedule, step, steps) for step in range(steps)]
        told = after_step, observe, names, probing, unreadable, Waiting(if_waiting)
        run = _Run(training, rates, batch_size, passes, loop, log, report, stop, *told)
        run.pass_over()  # those of before
        run.through(iter(open_batches(training.step)))


@dataclass
class _Run:
    """What `fit` was told, and what it does with each step."""

    training: Training
    rates: list[float]
    batch_size: int
    passes: int
    loop: LoopRecipe
    log: MetricsLog
    report: ProgressReport
    stop: StopSignals
    after_step: Callable[[int], None] | None
    observe: Callable[[Any], dict[str, float]] | None
    names: Callable[[Any], list[str]] | None
    probing: Probing | None
    unreadable: UnreadablePhotos | None
    waiting: Waiting
    meter: Throughput = field(default_factory=Throughput)
    recent: dict[int, list[str]] = field(default_factory=dict)  # names by step, since the last log

    def through(self, batches: Iterator[Any]) -> None:
        """All steps that are left."""
        training, steps = self.training, len(self.rates)
        while training.step < steps:
            batch = self.fetch(batches)
            training.replay_rng()
            extra = self.update(batch)
            training.step += 1
            self.meter.count(self.batch_size)
            self.report.advance(training.step)
            is_last = training.step == steps
            is_log = is_last or training.step == 1 or training.step % self.loop.log_every == 0
            if self.unreadable is not None:
                self.unreadable.add(batch.passed_over)
            if is_log or training.fabric.world_size == 1:
                self.pass_over()
            figures = self.figures(extra) if is_log else {}
            figures |= self.probe()
            if figures:
                self.log.write(training.step, figures)
            stop, due = self.wishes(is_log)
            if stop or due or is_last:
                training.check(self.recent)
                training.save()
            if stop:
                self.end()

    def fetch(self, batches: Iterator[Any]) -> Any:
        """The next batch, on the device. Whatever goes wrong here, the state is whole: save it."""
        alone = self.training.fabric.world_size == 1
        try:
            with self.meter.waiting(), self.stop.obeyed_at_once(alone):
                batch = next(batches, None)
        except KeyboardInterrupt:
            self.training.save()
            self.end()
        except Exception:
            if alone:
                self.training.save()
            raise
        if batch is None:
            made, steps = self.training.step, len(self.rates)
            raise ValueError(f"the data ended after {made} of {steps} steps; give one batch a step")
        return batch.to(self.training.fabric.device)

    def update(self, batch: Any) -> Any:
        """Forward, backward, optimiser, EMA. Returns the module's second output."""
        training, step = self.training, self.training.step
        device = training.fabric.device
        before = Before(training.module, device) if device.type == "cpu" else None
        self.recent[step] = self.names(batch) if self.names else []
        for group in training.optimizer.param_groups:
            group["lr"] = self.rates[step]
        loss, extra = training.learn(batch.split(self.passes) if self.passes > 1 else [batch])
        if before is not None and any(agree(training.fabric, not torch.isfinite(loss))):
            before.restore()
            training.optimizer.zero_grad(set_to_none=True)
            training.save(NONFINITE)
            raise training.nonfinite(-1 if loss.isfinite() else step, self.recent, NONFINITE)
        training.add_loss(loss)
        training.optimizer.step()
        training.optimizer.zero_grad(set_to_none=True)
        if self.after_step is not None:
            self.after_step(step)
        return extra

    def figures(self, extra: Any) -> dict[str, float]:
        """A log's figures, reported; an accelerator is waited for here, at probes and at saves."""
        training = self.training
        with self.meter.caught_up():
            training.check(self.recent)
        figures = {"loss": training.mean_loss(), "lr": self.rates[training.step - 1]}
        figures |= self.meter.read() | {"seconds": training.elapsed}
        if self.unreadable is not None:
            figures |= self.unreadable.figures()
        if self.observe is not None:
            figures |= self.observe(extra)
        self.report.log(training.step, figures)
        is_last = training.step == len(self.rates)
        if said := self.waiting.says(figures["data_wait"], is_last=is_last):
            self.report.say(said)
        self.recent.clear()
        return figures

    def pass_over(self) -> None:
        """Names photos that couldn't be read since last asked; all ranks must ask together."""
        if self.unreadable is None:
            return
        for sentence in self.unreadable.settle(self.training.fabric):
            self.report.say(sentence)
        if self.unreadable.are_too_many:
            self.training.check(self.recent)
            self.training.save()
            raise self.unreadable.error()

    def probe(self) -> dict[str, float]:
        """What is measured after this step; photos a second are those of the training alone."""
        if self.probing is None or not self.probing.is_due(self.training.step, len(self.rates)):
            return {}
        self.training.check(self.recent)
        with self.report.aside(), self.meter.stopped():
            return self.probing.figures(self.training)

    def wishes(self, is_log: bool) -> tuple[bool, bool]:
        """Whether to stop, and to save. Several ranks agree on clocks and signals at logs only."""
        due, late = self.training.is_due(self.loop.checkpoint_every, self.loop.checkpoint_minutes)
        if not is_log and self.training.fabric.world_size > 1:
            return False, due
        stop, late = agree(self.training.fabric, self.stop.received is not None, late)
        return stop, due or late

    def end(self) -> NoReturn:
        """After a signal, with a checkpoint saved."""
        made, steps = self.training.step, len(self.rates)
        self.report.say(
            f"stopped after step {made} of {steps}; give the same command again to go on"
        )
        raise Stopped(self.stop.exit_code)
