"""Training the network of a task: one way for all of them."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from detcon.downstream.network import Network
from detcon.downstream.order import batches
from detcon.downstream.pictures import Pictures
from detcon.downstream.recipe import TransferRecipe
from detcon.train.environment import ranks
from detcon.train.loop import fit
from detcon.train.plan import Hooks, Plan


def fine_tune(
    settings: TransferRecipe,
    network: Network,
    train: Pictures,
    make: Callable[[list[tuple[int, int]]], Any],
    folder: Path,
    *,
    observe: Callable[[Any], dict[str, float]] | None = None,
) -> None:
    """Trains encoder and head together, and leaves the network in eval mode.

    Args:
        settings: Steps, batch size, optimiser, schedule.
        network: `network(batch)` returns a scalar loss, and anything.
        train: The labelled pictures.
        make: From (epoch, number of the picture) of each member to a batch with `to(device)`,
            `pin_memory()` and `index`, the numbers of its pictures.
        folder: Of the run.
        observe: Turns the network's second output into figures for the log.
    """
    network.train()
    fit(
        network,
        functools.partial(_batches, settings, train, make),
        plan=Plan(
            steps=settings.steps,
            batch_size=settings.batch_size,
            optimizer=settings.optimizer,
            schedule=settings.schedule,
            loop=settings.loop,
            sync_norms=True,
            title=f"{settings.task} seed {settings.seed}",
        ),
        folder=folder,
        hooks=Hooks(
            observe=observe,
            names=lambda batch: [train.key(index) for index in batch.index.tolist()],
        ),
    )
    network.eval()


def _batches(
    settings: TransferRecipe,
    train: Pictures,
    make: Callable[[list[tuple[int, int]]], Any],
    first_step: int,
) -> Iterator[Any]:
    return batches(
        make,
        num_pictures=len(train),
        seed=settings.seed,
        batch_size=settings.batch_size,
        first_step=first_step,
        num_steps=settings.steps,
        workers=settings.workers,
        rank=ranks().rank,
        world=ranks().world,
    )
