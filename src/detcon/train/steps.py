"""The steps of a training, one after another: batch, update, log, checkpoint, and a whole end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch

from detcon.train.environment import agree
from detcon.train.finite import NONFINITE, Before
from detcon.train.metrics import MetricsLog
from detcon.train.monitor import Throughput, Waiting, peak_memory
from detcon.train.probing import Probing
from detcon.train.progress import ProgressReport
from detcon.train.recipe import LoopRecipe
from detcon.train.state import Training
from detcon.train.stop import Stopped, StopSignals
from detcon.train.unreadable import UnreadablePhotos


@dataclass
class Steps:
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
        figures |= self.meter.read() | peak_memory(training.fabric.device)
        figures |= {"seconds": training.elapsed}
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
