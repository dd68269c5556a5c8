"""Transfer: what a backbone is worth on a task with labels, from a recipe to results."""

import hashlib
import itertools
import statistics
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from detcon.config import load_recipe
from detcon.downstream.model_file import MODEL, save_model
from detcon.downstream.network import Network
from detcon.downstream.pictures import Labelled, Pictures, nested_subset
from detcon.downstream.recipe import TransferRecipe, updates
from detcon.downstream.result import RESULT, Result, read_result, write_result
from detcon.downstream.strips import strip, write_strip
from detcon.downstream.task import Score, Task
from detcon.downstream.tasks import open_task
from detcon.models.backbone_file import Backbone, BackboneError, load_backbone, save_backbone
from detcon.train.environment import describe_environment, is_first_rank
from detcon.train.metrics import read_metrics
from detcon.train.run import Run, open_run, recorded_fingerprint

STRIPS = 4
"""So many validation pictures are drawn with their prediction."""


def transfer(recipe: str | Path | None = None, /, **overrides: Any) -> list[Result]:
    """Trains a task from a backbone, once for each seed, and judges it on the validation pictures.

    Seed N has the folder `out/seedN` with the recipe, the log, `model.safetensors` (the trained
    network, for `load_model` and `detcon predict`), `backbone.safetensors` (its encoder),
    `predictions/*.png` and `result.json`. Given again, an interrupted seed goes
    on where it stopped, and a finished one is only read.

    Args:
        recipe: A YAML file, or None for the defaults.
        **overrides: Settings by name, as on the command line; names with a dot in a mapping:
            `transfer(backbone="b.safetensors", data="d", out="o", **{"optimizer.lr": 1e-3})`.

    Returns:
        One result a seed.

    Raises:
        ValueError: Data, a backbone or settings that don't fit; the sentence says which.
        OSError: A disk that is full or can't be written.
    """
    settings = _pin(load_recipe(TransferRecipe, recipe, overrides))
    task = open_task(settings.task)
    source = _Source(settings, task)
    results = []
    for seed in range(settings.seed, settings.seed + settings.seeds):
        folder = Path(settings.out) / f"seed{seed}"
        one = settings.model_copy(update={"out": str(folder), "seed": seed, "seeds": 1})
        results.append(_run_seed(one, folder, task, source))
    if is_first_rank():
        _say(results)
    return results


class _Source:
    """The labelled pictures of all seeds: opened for the first one, validation pictures kept."""

    def __init__(self, settings: TransferRecipe, task: Task) -> None:
        self._settings = settings
        self._task = task
        self._opened: tuple[Labelled, Pictures] | None = None

    def open(self, backbone: Backbone) -> tuple[Labelled, Pictures]:
        """The data, in the channels that the backbone takes, and its validation pictures."""
        if self._opened is None:
            if backbone.match is not None and not backbone.match.is_full and is_first_rank():
                say = Console(stderr=True, highlight=False, soft_wrap=True).print
                say(f"{self._settings.backbone}: {backbone.match}", markup=False)
            labelled = self._task.open(self._settings, backbone.recipe.in_channels)
            self._opened = labelled, Pictures(labelled.val, range(len(labelled.val.keys)))
        return self._opened


def _pin(settings: TransferRecipe) -> TransferRecipe:
    """Records which bytes the backbone had, so that another file of its name isn't mistaken."""
    path = Path(settings.backbone)
    if not path.is_file():
        return settings
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if settings.backbone_sha256 not in (None, found):
        raise BackboneError(
            f"{path} has the SHA-256 {found}, not the {settings.backbone_sha256} asked for; give "
            f"the right file, or leave backbone_sha256 out"
        )
    return settings.model_copy(update={"backbone_sha256": found})


def _run_seed(settings: TransferRecipe, folder: Path, task: Task, source: _Source) -> Result:
    """One seed; everything that can be wrong is found before its folder is made."""
    if (folder / RESULT).is_file():
        open_run(folder, settings)  # complains of another recipe
        return read_result(folder)
    begin = time.monotonic()
    backbone, network = _build(settings, task, source)
    labelled, val = source.open(backbone)
    chosen = nested_subset(len(labelled.train.keys), settings.labels, settings.seed)
    train = Pictures(labelled.train, chosen)
    run = open_run(folder, settings)
    before = sum(line["seconds"] for line in read_metrics(folder)[-1:])
    task.learn(settings, network, train, folder)
    reached = task.score(settings, network, val, labelled.names)
    result = _result(settings, task, reached, folder, before + time.monotonic() - begin)
    if is_first_rank():
        _write(settings, task, run, backbone, network, labelled.names, val)
        write_result(run.folder, result)
        run.finish()
    return result


def _build(settings: TransferRecipe, task: Task, source: _Source) -> tuple[Backbone, Network]:
    """The backbone, and on it a fresh head; both the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        backbone = load_backbone(
            settings.backbone,
            encoder=settings.encoder,
            stride=settings.stride,
            partial=settings.backbone_partial,
        )
        labelled, _ = source.open(backbone)
        return backbone, task.build(settings, backbone, labelled.names)


def _result(
    settings: TransferRecipe, task: Task, reached: Score, folder: Path, seconds: float
) -> Result:
    return Result(
        task=settings.task,
        metric=task.metric,
        unit=task.unit,
        value=reached.value,
        seed=settings.seed,
        steps=updates(settings),
        labels=settings.labels,
        backbone=settings.backbone,
        backbone_sha256=settings.backbone_sha256,
        recipe=recorded_fingerprint(folder),
        versions=describe_environment()["versions"],
        seconds=round(seconds, 1),
        per_class=reached.per_class,
        figures=reached.figures,
    )


def _write(
    settings: TransferRecipe,
    task: Task,
    run: Run,
    backbone: Backbone,
    network: Network,
    names: tuple[str, ...],
    val: Pictures,
) -> None:
    """Everything that a finished seed leaves behind, but for the result."""
    save_backbone(
        run.folder / "backbone.safetensors",
        network.encoder,
        backbone.recipe,
        normalisation=backbone.normalisation,
        notes=backbone.notes
        | {"transfer": {"task": settings.task, "data": settings.data, "from": settings.backbone}},
    )
    save_model(run.folder / MODEL, network, settings, backbone, names)
    for item in itertools.islice(val, STRIPS):
        truth = task.draw(item.image, task.truth(item), names)
        found = task.draw(item.image, task.predict(network, item.image), names)
        name = PurePosixPath(item.key).with_suffix(".png").as_posix().replace("/", "_")
        write_strip(run.folder / "predictions" / name, strip(item.image, truth, found))


def _say(results: Sequence[Result]) -> None:
    """The seeds one below the other, then their mean and spread."""
    first = results[0]
    amount = "all labels" if first.labels is None else f"{first.labels} labelled pictures"
    table = Table(box=None, pad_edge=False)
    for name in ("seed", f"{first.metric} {first.unit}", "seconds"):
        table.add_column(name, justify="right")
    for result in results:
        table.add_row(str(result.seed), f"{result.value:.1f}", f"{result.seconds:.0f}")
    values = [result.value for result in results]
    if len(values) > 1:
        table.add_row("mean", f"{statistics.mean(values):.1f}", "")
        table.add_row("std", f"{statistics.stdev(values):.1f}", "")
    console = Console(highlight=False)
    title = f"{first.task} from {first.backbone}, {amount}"
    console.print(title, soft_wrap=True, markup=False)
    console.print(table)
