"""The figures of a run: `metrics.jsonl`, TensorBoard and, if asked for, Weights & Biases."""

import math
import uuid
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from detcon.files import write_whole
from detcon.results.history import HistoryFile
from detcon.results.recipe import read_recipe
from detcon.train.random_state import rng_untouched

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

ID_FILE = "wandb-id.txt"


class MetricsLog:
    """Appends lines; on resume, first drops those after the checkpoint's step.

    Args:
        folder: The run folder.
        step: Steps made so far.
        write: False on all ranks but the first: then nothing is written.
        wandb: Project of W&B to log to as well.

    Raises:
        WandbError: If W&B can't be used.
    """

    def __init__(
        self, folder: Path, *, step: int, write: bool = True, wandb: str | None = None
    ) -> None:
        self._logs: list[HistoryFile | TensorBoard | WandbLog] = []
        if write:
            if wandb is not None:
                self._logs.append(WandbLog(wandb, folder))
            self._logs += [HistoryFile(folder, step=step), TensorBoard(folder, step)]

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Writes a line; leaves out figures that are not finite, which JSON can't hold."""
        figures = {name: value for name, value in figures.items() if math.isfinite(value)}
        for log in self._logs:
            log.write(step, figures)

    def close(self) -> None:
        """Flushes all logs."""
        for log in self._logs:
            log.close()


class TensorBoard:
    """Logs to TensorBoard, whose events after the checkpoint's step are dropped.

    It takes half a second to import, which the first step doesn't wait for.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder, self._step = folder, step

    @cached_property
    def _events(self) -> "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self._folder), purge_step=self._step + 1)

    def write(self, step: int, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        if "_events" in self.__dict__:  # something was written
            self._events.close()


class WandbError(ValueError):
    """Weights & Biases can't be used."""


class WandbLog:
    """Logs a run folder as one run of W&B, also when it is resumed or moved.

    The run's id is drawn once and kept in the folder; its configuration is the recipe there. Steps
    that a resumed run makes again give the same figures, and W&B leaves them out, since its steps
    only go up. The program's random generators aren't changed. All but the project comes from the
    environment: WANDB_MODE=offline, WANDB_ENTITY.

    Raises:
        WandbError: If it isn't installed, or doesn't start.
    """

    def __init__(self, project: str, folder: Path) -> None:
        try:
            wandb: Any = import_module("wandb")
        except ImportError as error:
            raise WandbError(
                f"loop.wandb={project} needs wandb, which is not installed here: "
                f"pip install 'detcon[wandb]', or leave it out"
            ) from error
        saved = read_recipe(folder)
        try:
            with rng_untouched(torch.device("cpu")):
                self._run = wandb.init(
                    project=project,
                    id=_id_of(folder),
                    resume="allow",
                    name=folder.resolve().name,
                    dir=str(folder),
                    config=dict(saved.values) if saved else {},
                )
        except Exception as error:  # it has many
            raise WandbError(
                f"cannot begin a run in the project {project} of W&B: "
                f"{' '.join(str(error).split())}; set "
                f"WANDB_MODE=offline to send it later, or leave loop.wandb out"
            ) from error

    def write(self, step: int, figures: dict[str, float]) -> None:
        self._run.log(figures, step=step)

    def close(self) -> None:
        """Waits until everything is sent, or stored to be sent later."""
        self._run.finish()


def _id_of(folder: Path) -> str:
    path = folder / ID_FILE
    if not path.is_file():
        write_whole(path, uuid.uuid4().hex[:12])
    return path.read_text("utf-8").strip()
