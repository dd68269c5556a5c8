"""The steps of a training: batch, update, log, checkpoint, and a clean end."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, NoReturn

import torch

from detcon.timing import timed, timed_step
from detcon.train.finite import NONFINITE, Before
from detcon.train.metrics import MetricsLog
from detcon.train.plan import Hooks, Plan
from detcon.train.progress import ProgressReport, Throughput, Waiting, peak_memory
from detcon.train.replica import agree
from detcon.train.state import Training
from detcon.train.stop import Stopped, StopSignals


@dataclass
class Steps:
    """Makes the steps of a training, and reports them.

    `recent` holds the names of the photos of each step since the last log; `warm` is True after
    the first step of this process. Every logged step but that one is timed part by part.
    """

    training: Training
    plan: Plan
    hooks: Hooks
    _: KW_ONLY
    log: MetricsLog
    report: ProgressReport
    stop: StopSignals
    meter: Throughput = field(default_factory=Throughput)
    recent: dict[int, list[str]] = field(default_factory=dict)
    said_zero: bool = False
    warm: bool = False

    def __post_init__(self) -> None:
        self._waiting = Waiting(self.hooks.if_waiting)

    def run(self, batches: Iterator[Any]) -> None:
        """Makes all steps that are left, or those until a probe ends the run."""
        training, plan, is_over = self.training, self.plan, False
        if training.step == 0 and (figures := self.probe()[0]):
            self.log.write(0, figures)
        while training.step < plan.steps and not is_over:
            batch = self.fetch(batches)
            training.replay_rng()
            made = training.step + 1
            is_last = made == plan.steps
            is_log = is_last or made == 1 or made % plan.loop.log_every == 0
            # the first step of a process compiles
            timing = timed_step(training.replica.device) if is_log and self.warm else nullcontext()
            with timing as times:
                extra = self.update(batch)
            self.warm = True
            training.step = made
            self.meter.count(plan.batch_size)
            self.report.advance(training.step)
            if self.hooks.unreadable is not None:
                self.hooks.unreadable.add(batch.passed_over)
            if is_log or training.replica.world == 1:
                self.report_unreadable()
            figures = self.figures(extra) if is_log else {}
            if times is not None:
                spent = {**times.seconds(), **getattr(batch, "seconds", {})}
                figures |= {f"time_{part}": seconds for part, seconds in spent.items()}
            probed, is_over = self.probe()
            figures |= probed
            if figures:
                self.log.write(training.step, figures)
            stop, due = self.stop_or_save(is_log)
            if stop or due or is_last or is_over:
                training.check(self.recent)
                training.save()
            if stop:
                self.end()

    def fetch(self, batches: Iterator[Any]) -> Any:
        """The next batch, on the device; waiting for it may be interrupted.

        A single rank then saves, since the state between two steps is complete. Several ranks can
        only save together, after a step: an interrupted one ends at once, and the last checkpoint
        stays.
        """
        alone = self.training.replica.world == 1
        try:
            with self.meter.spent("data"), self.stop.obeyed_at_once(alone):
                batch = next(batches, None)
        except KeyboardInterrupt:
            if not alone:
                raise
            self.keep()
            self.end()
        except Exception:
            if alone:
                self.keep()
            raise
        if batch is None:
            made, steps = self.training.step, self.plan.steps
            raise ValueError(f"the data ended after {made} of {steps} steps; give one batch a step")
        return batch.to(self.training.replica.device)

    def update(self, batch: Any) -> Any:
        """Forward, backward, optimiser, EMA. Returns the module's second output."""
        training, step = self.training, self.training.step
        device = training.replica.device
        before = Before(training.module, device) if device.type == "cpu" else None
        self.recent[step] = self.hooks.names(batch) if self.hooks.names else []
        for group in training.optimizer.param_groups:
            group["lr"] = self.plan.rate(step) * group.get("scale", 1.0)
        parts = batch.split(self.plan.passes) if self.plan.passes > 1 else [batch]
        loss, extra = training.learn(parts)
        if before is not None and any(agree(training.replica, not torch.isfinite(loss))):
            before.restore()
            training.optimizer.zero_grad(set_to_none=True)
            training.save(NONFINITE)
            raise training.nonfinite(-1 if loss.isfinite() else step, self.recent, NONFINITE)
        training.add_loss(loss)
        if step < self.plan.warm_heads:
            training.keep_encoder()
        with timed("optimizer"):
            training.optimizer.step()
            training.pull_to_start(self.plan.anchor)
            training.optimizer.zero_grad(set_to_none=True)
            if self.hooks.after_step is not None:
                self.hooks.after_step(step)
        return extra

    def figures(self, extra: Any) -> dict[str, float]:
        """Collects and reports the figures of a log; waits for the device."""
        training = self.training
        with self.meter.spent("device"):
            training.check(self.recent)
        figures = {"loss": training.mean_loss(), "lr": self.plan.rate(training.step - 1)}
        figures |= self.meter.read() | peak_memory(training.replica.device)
        figures |= {"seconds": training.elapsed}
        if self.hooks.unreadable is not None:
            figures |= self.hooks.unreadable.figures()
        if self.hooks.observe is not None:
            figures |= self.hooks.observe(extra)
        self.report.log(training.step, figures)
        is_last = training.step == self.plan.steps
        if warning := self._waiting.warning(figures["data_wait"], is_last=is_last):
            self.report.bar.say(warning)
        self.recent.clear()
        if figures["loss"] == 0 and not self.said_zero:
            self.said_zero = True
            self.report.bar.say(
                f"the loss is exactly 0 at step {training.step}: nothing is learnt from these "
                f"batches; look at their masks or labels with 'detcon show'"
            )
        return figures

    def report_unreadable(self) -> None:
        """Reports photos that couldn't be read since the last call; all ranks must ask together."""
        if self.hooks.unreadable is None:
            return
        for sentence in self.hooks.unreadable.settle(self.training.replica):
            self.report.bar.say(sentence)
        if self.hooks.unreadable.are_too_many:
            self.training.check(self.recent)
            self.keep()
            raise self.hooks.unreadable.error()

    def keep(self) -> None:
        """Saves what was learnt; before the first step there is nothing that others should find."""
        if self.training.step:
            self.training.save()

    def probe(self) -> tuple[dict[str, float], bool]:
        """Measures, if it is due, and whether to end; this time doesn't count as training."""
        probing, training = self.hooks.probing, self.training
        if probing is None or not probing.is_due(training.step, self.plan.steps):
            return {}, False
        training.check(self.recent)
        with self.report.bar.hidden(), self.meter.spent("aside"):
            figures, finding = probing.figures(training.replica, training.step)
        if finding.sentence:
            self.report.bar.say(finding.sentence)
        return figures, finding.stop

    def stop_or_save(self, is_log: bool) -> tuple[bool, bool]:
        """Whether to stop, and whether to save. Several ranks agree about this at logs only."""
        training, loop = self.training, self.plan.loop
        due = loop.checkpoint_every is not None and training.step % loop.checkpoint_every == 0
        if not is_log and training.replica.world > 1:
            return False, due
        minutes = loop.checkpoint_minutes
        late = minutes is not None and time.monotonic() - training.saved > 60 * minutes
        stop, late = agree(training.replica, self.stop.received is not None, late)
        return stop, due or late

    def end(self) -> NoReturn:
        """Ends the run after a signal; the checkpoint was saved before."""
        made, steps = self.training.step, self.plan.steps
        self.report.bar.say(
            f"stopped after step {made} of {steps}; give the same command again to go on"
        )
        raise Stopped(self.stop.exit_code)
