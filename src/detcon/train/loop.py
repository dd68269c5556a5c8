"""The training loop of pretraining and of all transfer tasks."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from detcon.notes import note
from detcon.train.environment import freed_memory_kept, has_bfloat16
from detcon.train.metrics import MetricsLog
from detcon.train.plan import Hooks, Plan
from detcon.train.progress import ProgressReport
from detcon.train.replica import agree
from detcon.train.state import Training, start
from detcon.train.steps import Steps
from detcon.train.stop import StopSignals


def fit(
    module: nn.Module,
    open_batches: Callable[[int], Iterable[Any]],
    *,
    plan: Plan,
    folder: Path,
    hooks: Hooks | None = None,
) -> int:
    """Trains a module; goes on from `folder/checkpoints/last.ckpt` where there is one.

    An interrupted and resumed training ends with the same weights, bit for bit, if a batch depends
    on its step alone and draws nothing from the global generators. The module's train and eval
    modes are left as they are.

    Args:
        module: `module(batch)` returns a scalar loss and anything, for `hooks.observe`.
        open_batches: Given the first step, yields the batches from there on, this rank's share of
            each. A batch has `to(device)`, and `split(passes)` where there are several passes.
        plan: Steps, optimiser, schedule and loop.
        folder: The run folder (`detcon.train.run.open_run`).
        hooks: Called at the steps; none by default.

    Returns:
        The steps made: fewer than planned if a probe ended the run.

    Raises:
        NonFiniteLoss: After saving the state before that step, with the names of its photos.
        CheckpointError: If a checkpoint cannot be read, used or written.
        ValueError: If the data end early.
        WandbError: If W&B is asked for and can't be used.
        TooManyUnreadable: With a checkpoint saved.
        RankGone: If another rank was lost.
        Stopped: After Ctrl-C or SIGTERM, with a checkpoint saved.
    """
    training, hooks = start(module, folder, plan), hooks or Hooks()
    training.resume()
    first = training.replica.rank == 0
    log = MetricsLog(folder, step=training.step, write=first, wandb=plan.loop.wandb)
    report = ProgressReport(plan.title, step=training.step, steps=plan.steps, show=first)
    if training.step == 0 < plan.steps:
        _note_precision(training)
    with closing(log), report.bar, StopSignals() as stop:
        for sentence in _beginning(training, plan):
            report.bar.say(sentence)
        if training.step < plan.steps and not _is_over(training, hooks):
            steps = Steps(training, plan, hooks, log=log, report=report, stop=stop)
            device = training.replica.device
            with _ranks_that_answer(training), freed_memory_kept(device):
                steps.report_unreadable()  # photos that were unreadable before
                steps.run(iter(open_batches(training.step)))
    return training.step


def _is_over(training: Training, hooks: Hooks) -> bool:
    """Whether a probe had ended the run before; the first rank alone reads the log."""
    first, probing = training.replica.rank == 0, hooks.probing
    over = first and training.step > 0 and probing is not None and probing.is_over()
    return any(agree(training.replica, over))


class RankGone(ConnectionError):
    """Another rank doesn't take part any more."""


@contextmanager
def _ranks_that_answer(training: Training) -> Iterator[None]:
    """Turns the errors of a collective, which end the wait for a lost rank, into a sentence."""
    try:
        yield
    except RuntimeError as error:
        words = str(error).lower()
        lost = any(word in words for word in ("gloo", "nccl", "connection", "timed out"))
        if training.replica.world == 1 or not lost:
            raise
        raise RankGone(
            f"another rank was lost after step {training.step}: its own message, above or in its "
            f"log, says why; give the command again on all ranks to go on from the last checkpoint "
            f"({str(error).splitlines()[0]})"
        ) from error


def _beginning(training: Training, plan: Plan) -> Iterator[str]:
    """What to report before the first step."""
    if training.step >= plan.steps:
        yield f"{plan.title}: all {plan.steps} steps were made already"
    elif training.step:
        yield f"{plan.title}: going on after step {training.step} of {plan.steps}"
    elif training.num_narrow:
        yield (
            f"{training.num_narrow} narrow convolutions don't use channels-last memory, where "
            f"this CPU would compute wrong gradients (oneDNN#6035)"
        )


def _note_precision(training: Training) -> None:
    """Tells, once for all trainings of a command, where the device has no bfloat16."""
    if not has_bfloat16(device := training.replica.device):
        emulated = training.replica.precision == "bf16"
        told = "loop.precision=32 would be faster" if emulated else "32 bits are taken"
        note(f"this {'GPU' if device.type == 'cuda' else 'processor'} has no bfloat16: {told}")
