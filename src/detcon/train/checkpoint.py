"""Checkpoints: written atomically, and read without running any code that they may hold."""

import os
import pickle
import shutil
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from detcon.files import replacing


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, read or used here."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next step depends on.

    Attributes:
        step: Steps made.
        module: The module's state, with all buffers (and so the target network).
        optimizer: The optimiser's state.
        ranks: For each rank its random states (`rng_state`) and its sum of losses since the last
            log: {"rng": ..., "losses": ...}.
        num_losses: The number of losses in that sum.
        seconds: Training time so far.
        fingerprint: Of the recipe, "" for none.
        format: Version of the file's layout.
    """

    step: int
    module: dict[str, Any]
    optimizer: dict[str, Any]
    ranks: list[dict[str, Any]]
    num_losses: int = 0
    seconds: float = 0.0
    fingerprint: str = ""
    format: int = 1


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint in one move.

    Raises:
        CheckpointError: If the disk is full or not writable; the old file is untouched.
    """
    parts = {part.name: getattr(checkpoint, part.name) for part in fields(checkpoint)}
    try:
        with replacing(path) as file:
            torch.save(parts, file)
    except (OSError, RuntimeError) as error:
        kept = "; the one before it is whole" if path.exists() else ""
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise CheckpointError(
            f"cannot write checkpoint {path}: {reason}{kept}; make room and give the command again"
        ) from error


def keep_last(path: Path, step: int, number: int) -> None:
    """Keeps a new checkpoint as `step-000500.ckpt` too, and removes all but the last `number`.

    It is a hard link, which takes no time, or a copy where the disk has no links. Files of later
    steps are removed: they belong to a run that went on from an earlier checkpoint. With a
    `number` of 1 there is only `path`.

    Raises:
        CheckpointError: If the disk is full or not writable; `path` is untouched.
    """
    if number == 1:
        return
    kept = path.with_name(f"step-{step:06}.ckpt")
    try:
        kept.unlink(missing_ok=True)
        try:
            os.link(path, kept)
        except OSError:
            with path.open("rb") as whole, replacing(kept) as file:
                shutil.copyfileobj(whole, file)
        others = {int(other.stem[5:]): other for other in path.parent.glob("step-[0-9]*.ckpt")}
        last = sorted(made for made in others if made <= step)[-number:]
        for made in others.keys() - set(last):
            others[made].unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"cannot keep checkpoint {kept}: {error.strerror or error}; {path} is whole; make room "
            f"and give the command again"
        ) from error


def kept_steps(path: Path) -> set[int]:
    """The steps of all checkpoints in a folder: the last one, and those that `keep_last` kept.

    Raises:
        CheckpointError: If the checkpoint is damaged.
    """
    steps = {int(other.stem[5:]) for other in path.parent.glob("step-[0-9]*.ckpt")}
    if path.is_file():
        try:  # maps the tensors, and reads none
            steps.add(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["step"])
        except Exception as error:  # damaged files raise many kinds
            raise CheckpointError(_damaged(path, str(error).partition("\n")[0])) from error
    return steps


def load_checkpoint(path: Path, *, fingerprint: str = "") -> Checkpoint:
    """Reads a checkpoint to the CPU, as plain tensors and numbers only.

    Raises:
        CheckpointError: If the file is damaged, holds more than plain data, or belongs to
            a recipe of another fingerprint.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not look at the checksums
            broken = archive.testzip()
        if broken is not None:
            raise CheckpointError(_damaged(path, f"wrong checksum in {broken}"))
        checkpoint = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors and numbers, and may run foreign code when read; "
            f"use a checkpoint that detcon wrote"
        ) from error
    except Exception as error:  # damaged files raise many kinds
        raise CheckpointError(_damaged(path, str(error).partition("\n")[0])) from error
    if checkpoint.fingerprint != fingerprint:
        raise CheckpointError(
            f"checkpoint {path} belongs to another recipe (fingerprint "
            f"{checkpoint.fingerprint or 'none'}, asked for {fingerprint or 'none'}); "
            f"give another out=, or go on with the recipe it was made with"
        )
    return checkpoint


def _damaged(path: Path, reason: str) -> str:
    return (
        f"checkpoint {path} is damaged ({reason}); remove it to start this run from the beginning"
    )
