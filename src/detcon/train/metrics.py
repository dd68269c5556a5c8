"""The figures of a run: `metrics.jsonl`, and the same for TensorBoard and, if asked for, W&B."""

import math
from pathlib import Path
from typing import Any

from detcon.results.history import HistoryFile
from detcon.train.on_wandb import WandbLog


class MetricsLog:
    """Appends lines; on resume, first drops those after the checkpoint's step.

    Args:
        folder: The run folder.
        step: Steps made so far.
        write: False on all ranks but the first: then nothing is written.
        wandb: The project of W&B to log to as well.

    Raises:
        WandbError: If W&B can't be had.
    """

    def __init__(
        self, folder: Path, *, step: int, write: bool = True, wandb: str | None = None
    ) -> None:
        self._file: HistoryFile | None = None
        self._events: Any = None
        self._wandb: WandbLog | None = None
        if not write:
            return
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import

        if wandb is not None:
            self._wandb = WandbLog(wandb, folder)
        self._file = HistoryFile(folder, step=step)
        self._events = SummaryWriter(str(folder), purge_step=step + 1)

    def write(self, step: int, figures: dict[str, float]) -> None:
        """One line; a figure that is not finite is left out, since JSON has no name for it."""
        if self._file is None:
            return
        figures = {name: value for name, value in figures.items() if math.isfinite(value)}
        self._file.write(step, figures)
        for name, value in figures.items():
            self._events.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.write(step, figures)

    def close(self) -> None:
        """Writes what TensorBoard still holds back."""
        if self._file is not None:
            self._file.close()
            self._events.close()
        if self._wandb is not None:
            self._wandb.close()
