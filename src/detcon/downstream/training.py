"""Fine-tuning: trains encoder and head of a task together."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from detcon.data.labelled.crops import LabelledCrops, batches, join_maps
from detcon.data.labelled.examples import Examples
from detcon.data.labelled.window import Window, draw_window
from detcon.data.recipe import ColourRecipe
from detcon.downstream.network import Network
from detcon.downstream.recipe import FineTuned, TransferRecipe
from detcon.train.environment import ranks
from detcon.train.loop import fit
from detcon.train.plan import Hooks, Plan
from detcon.train.random_state import seed_rank


def fine_tune(
    settings: TransferRecipe,
    recipe: FineTuned,
    network: Network,
    train: Examples,
    folder: Path,
    *,
    cut: Callable[[Any, Window], Any],
    join: Callable[[list[Any]], Any] = join_maps,
    colour: ColourRecipe | None = None,
    observe: Callable[[Any], dict[str, float]] | None = None,
    **window: Any,
) -> None:
    """Trains encoder and head together, and leaves the network in eval mode.

    Args:
        network: `network(batch)` returns a scalar loss, and anything.
        cut: From the labels of an example and a window to those of the crop.
        join: From the labels of crops to those of a batch.
        colour: Colour augmentation of the crops.
        observe: Turns the network's second output into figures for the log.
        window: Further arguments of `draw_window`.
    """
    size = (recipe.crop, recipe.crop) if isinstance(recipe.crop, int) else recipe.crop
    draw = partial(draw_window, size=size, scale=recipe.scale, flip=recipe.flip, **window)
    crops = LabelledCrops(train, settings.seed, draw, cut, join, network.mean_colour, colour)
    open_batches = partial(
        batches,
        crops,
        batch_size=recipe.batch_size,
        num_steps=recipe.steps,
        workers=settings.workers,
        rank=ranks().rank,
        world=ranks().world,
    )
    plan = Plan(
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        optimizer=recipe.optimizer,
        schedule=recipe.schedule,
        loop=settings.loop,
        sync_norms=True,
        title=f"{recipe.kind} seed {settings.seed}",
    )
    hooks = Hooks(
        observe=observe, names=lambda batch: [train.key(index) for index in batch.index.tolist()]
    )
    network.train()
    with torch.random.fork_rng(devices=[]):  # detectors draw regions to learn from; drop path
        seed_rank(settings.seed, ranks().rank)
        fit(network, open_batches, plan=plan, folder=folder, hooks=hooks)
    network.eval()
