"""Fine-tuning: trains encoder and head of a task together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from detcon.data.labelled.crops import LabelledCrops, batches
from detcon.downstream.network import Network
from detcon.downstream.recipe import TransferRecipe
from detcon.downstream.tasks.settings import FineTunedRecipe
from detcon.train.environment import ranks
from detcon.train.loop import fit
from detcon.train.plan import Hooks, Plan


def fine_tune(
    settings: TransferRecipe,
    recipe: FineTunedRecipe,
    network: Network,
    crops: LabelledCrops,
    folder: Path,
    *,
    observe: Callable[[Any], dict[str, float]] | None = None,
) -> None:
    """Trains encoder and head together, and leaves the network in eval mode.

    Args:
        network: `network(batch)` returns a scalar loss, and anything.
        observe: Turns the network's second output into figures for the log.
    """

    def open_batches(first_step: int) -> Any:
        return batches(
            crops,
            batch_size=recipe.batch_size,
            first_step=first_step,
            num_steps=recipe.steps,
            workers=settings.workers,
            rank=ranks().rank,
            world=ranks().world,
        )

    network.train()
    fit(
        network,
        open_batches,
        plan=Plan(
            steps=recipe.steps,
            batch_size=recipe.batch_size,
            optimizer=recipe.optimizer,
            schedule=recipe.schedule,
            loop=settings.loop,
            sync_norms=True,
            title=f"{recipe.kind} seed {settings.seed}",
        ),
        folder=folder,
        hooks=Hooks(
            observe=observe,
            names=lambda batch: [crops.examples.key(index) for index in batch.index.tolist()],
        ),
    )
    network.eval()
