"""One cell of a transfer: one backbone, one amount of labels, one seed."""

import itertools
import time
from pathlib import Path, PurePosixPath

import torch
from rich.console import Console

from detcon.data.labelled.examples import Examples, LabelledData, nested_subset
from detcon.downstream.model_file import MODEL, save_model
from detcon.downstream.network import Network
from detcon.downstream.recipe import TransferRecipe, TransferSettings
from detcon.downstream.strips import strip, write_png
from detcon.downstream.task import Score, Task
from detcon.models.backbone_file import Backbone, load_backbone, save_backbone
from detcon.results.history import read_history
from detcon.results.recipe import recorded_fingerprint
from detcon.results.result import RESULT, Result, read_result, write_result
from detcon.train.environment import describe_environment, is_first_rank
from detcon.train.run import Run, open_run

STRIPS = 4
"""The number of validation photos that are drawn with their prediction."""


class CellData:
    """The labelled photos of all cells: opened once, validation photos kept."""

    def __init__(self, settings: TransferSettings, task: Task) -> None:
        self._settings = settings
        self._task = task
        self._opened: dict[int, tuple[LabelledData, Examples]] = {}

    def open(self, channels: int) -> tuple[LabelledData, Examples]:
        """The data, with the channels that a backbone takes, and its validation photos."""
        if channels not in self._opened:
            labelled = self._task.open(self._settings, channels)
            self._opened = {
                channels: (labelled, Examples(labelled.val, range(len(labelled.val.keys))))
            }
        return self._opened[channels]


def run_cell(settings: TransferRecipe, task: Task, source: CellData) -> Result:
    """Trains and scores one cell, or reads its result if it is finished.

    Raises:
        ValueError: Data, a backbone or settings that don't fit; mostly before the folder is made.
    """
    folder = Path(settings.out)
    if (folder / RESULT).is_file():
        open_run(folder, settings)  # refuses another recipe
        return read_result(folder)
    begin = time.monotonic()
    backbone, network = _build(settings, task, source)
    labelled, val = source.open(backbone.recipe.in_channels)
    chosen = nested_subset(len(labelled.train.keys), settings.labels, settings.seed)
    train = Examples(labelled.train, chosen)
    run = open_run(folder, settings)
    before = read_history(folder).seconds
    task.learn(settings, network, train, folder)
    reached = task.score(settings, network, val, labelled.names)
    result = _result(settings, task, reached, folder, before + time.monotonic() - begin)
    if is_first_rank():
        _write(settings, task, run, backbone, network, labelled.names, val)
        write_result(run.folder, result)
        run.finish()
    return result


def _build(settings: TransferRecipe, task: Task, source: CellData) -> tuple[Backbone, Network]:
    """The backbone with a fresh head; both the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        backbone = load_backbone(
            settings.backbone,
            encoder=settings.encoder,
            stride=settings.stride,
            partial=settings.backbone_partial,
        )
        if backbone.match is not None and not backbone.match.is_full and is_first_rank():
            say = Console(stderr=True, highlight=False, soft_wrap=True).print
            say(f"{settings.backbone}: {backbone.match}", markup=False)
        labelled, _ = source.open(backbone.recipe.in_channels)
        return backbone, task.build(settings, backbone, labelled.names)


def _result(
    settings: TransferRecipe, task: Task, reached: Score, folder: Path, seconds: float
) -> Result:
    return Result(
        task=settings.task.kind,
        metric=reached.metric,
        unit=reached.unit,
        value=reached.value,
        seed=settings.seed,
        steps=task.updates,
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
    val: Examples,
) -> None:
    """Writes the files of a finished seed, except the result."""
    made = {"task": settings.task.kind, "data": settings.data, "from": settings.backbone}
    save_backbone(
        run.folder / "backbone.safetensors",
        network.encoder,
        backbone.recipe,
        normalisation=backbone.normalisation,
        notes=backbone.notes | {"transfer": made},
    )
    save_model(run.folder / MODEL, network, settings, backbone, names)
    for item in itertools.islice(val, STRIPS):
        truth = task.draw(item.image, task.truth(item), names)
        found = task.draw(item.image, task.predict(network, item.image), names)
        name = PurePosixPath(item.key).with_suffix(".png").as_posix().replace("/", "_")
        write_png(run.folder / "predictions" / name, strip(item.image, truth, found))
