"""Logs the figures of a run to Weights & Biases, if asked for (extra `wandb`)."""

import uuid
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from detcon.files import write_whole
from detcon.results.recipe import read_recipe
from detcon.train.checkpoint import rng_state, set_rng_state

ID_FILE = "wandb-id.txt"


class WandbError(ValueError):
    """Weights & Biases can't be used."""


class WandbLog:
    """Logs a run folder as one run of W&B, however often it is resumed, and wherever it is moved.

    Its id is drawn once and kept in the folder. Steps that a resumed run makes again give the same
    figures, and W&B leaves them out, since its steps only go up. The program's random
    generators go on as if W&B were not there.

    Args:
        project: Of W&B. Everything else comes from its own environment: WANDB_MODE=offline,
            WANDB_ENTITY.
        folder: The run folder; its recipe becomes the run's configuration.

    Raises:
        WandbError: If it isn't installed, or doesn't begin.
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
        before = rng_state(torch.device("cpu"))
        try:
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
                f"cannot begin a run in the project {project} of W&B: {error}; set "
                f"WANDB_MODE=offline to send it later, or leave loop.wandb out"
            ) from error
        finally:
            set_rng_state(before, torch.device("cpu"))

    def write(self, step: int, figures: dict[str, float]) -> None:
        """One line of the log."""
        self._run.log(figures, step=step)

    def close(self) -> None:
        """Waits until everything is sent, or noted to be sent later."""
        self._run.finish()


def _id_of(folder: Path) -> str:
    path = folder / ID_FILE
    if not path.is_file():
        write_whole(path, uuid.uuid4().hex[:12])
    return path.read_text("utf-8").strip()
