"""Transfer: what a backbone is worth on a task with labels, from a recipe to results."""

import functools
import hashlib
import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from detcon.config import load_recipe
from detcon.downstream.crops import Crops, LabelledBatch
from detcon.downstream.labelled import Labelled, open_labelled
from detcon.downstream.order import batches
from detcon.downstream.pictures import Pictures, nested_subset, watched
from detcon.downstream.probe import fit_probe
from detcon.downstream.recipe import TransferRecipe
from detcon.downstream.result import RESULT, Result, read_result, write_result
from detcon.downstream.scoring import Score, predict, score
from detcon.downstream.segmentation import Segmenter, fcn_head
from detcon.downstream.strips import strip, write_strip
from detcon.models.backbone_file import Backbone, BackboneError, load_backbone, save_backbone
from detcon.train.environment import describe_environment, is_first_rank, open_fabric, ranks
from detcon.train.loop import fit
from detcon.train.metrics import read_metrics
from detcon.train.run import Run, open_run, recorded_fingerprint

STRIPS = 4
"""So many validation pictures are drawn with their prediction."""


def transfer(recipe: str | Path | None = None, /, **overrides: Any) -> list[Result]:
    """Trains a task from a backbone, once for each seed, and judges it on the validation pictures.

    Seed N has the folder `out/seedN` with the recipe, the log, `backbone.safetensors` (the encoder
    after training), `predictions/*.png` and `result.json`. Given again, an interrupted seed goes
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
    source = _Source(settings)
    results = []
    for seed in range(settings.seed, settings.seed + settings.seeds):
        folder = Path(settings.out) / f"seed{seed}"
        one = settings.model_copy(update={"out": str(folder), "seed": seed, "seeds": 1})
        results.append(_run_seed(one, folder, source))
    if is_first_rank():
        _say(results)
    return results


class _Source:
    """The labelled folder of all seeds: opened for the first one, validation pictures kept."""

    def __init__(self, settings: TransferRecipe) -> None:
        self._settings = settings
        self._opened: tuple[Labelled, Pictures] | None = None

    def open(self, backbone: Backbone) -> tuple[Labelled, Pictures]:
        """The folder, in the channels that the backbone takes, and its validation pictures."""
        if self._opened is None:
            settings = self._settings
            if backbone.match is not None and not backbone.match.is_full and is_first_rank():
                say = Console(stderr=True, highlight=False, soft_wrap=True).print
                say(f"{settings.backbone}: {backbone.match}", markup=False)
            labelled = open_labelled(
                settings.data,
                ignore=settings.ignore,
                num_classes=settings.num_classes,
                max_side=settings.size,
                channels=backbone.recipe.in_channels,
            )
            self._opened = labelled, Pictures(labelled.val, range(len(labelled.val)))
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


def _run_seed(settings: TransferRecipe, folder: Path, source: _Source) -> Result:
    """One seed; everything that can be wrong is found before its folder is made."""
    if (folder / RESULT).is_file():
        open_run(folder, settings)  # complains of another recipe
        return read_result(folder)
    begin = time.monotonic()
    backbone, head = _build(settings, source)
    labelled, val = source.open(backbone)
    chosen = nested_subset(len(labelled.train), settings.labels, settings.seed)
    train = Pictures(labelled.train, chosen)
    run = open_run(folder, settings)
    before = sum(line["seconds"] for line in read_metrics(folder)[-1:])
    normalisation = backbone.normalisation
    model = Segmenter(backbone.encoder, head, mean=normalisation.mean, std=normalisation.std)
    learn = _fine_tune if settings.task == "segmentation" else _probe
    learn(settings, model, train, folder)
    reached = score(model.classify, watched(val, "judging"), labelled.names, model.mean.device)
    result = _result(settings, reached, folder, before + time.monotonic() - begin)
    if is_first_rank():
        _write(settings, run, backbone, model, val, result)
    return result


def _build(settings: TransferRecipe, source: _Source) -> tuple[Backbone, nn.Module]:
    """The backbone, and a fresh head, both the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        backbone = load_backbone(
            settings.backbone,
            encoder=settings.encoder,
            stride=settings.stride,
            partial=settings.backbone_partial,
        )
        labelled, _ = source.open(backbone)
        head = fcn_head(
            int(backbone.encoder.num_channels),  # pyright: ignore[reportArgumentType]
            len(labelled.names),
            channels=settings.head_channels,
            dilation=settings.dilation,
        )
    return backbone, head


def _fine_tune(settings: TransferRecipe, model: Segmenter, train: Pictures, folder: Path) -> None:
    crop = settings.crop
    crops = Crops(
        train,
        size=(crop, crop) if isinstance(crop, int) else crop,
        seed=settings.seed,
        scale=settings.scale,
        flip=settings.flip,
        fill=model.mean_colour,
    )
    model.train()
    fit(
        model,
        functools.partial(_batches, settings, crops),
        folder=folder,
        steps=settings.steps,
        optimizer=settings.optimizer,
        schedule=settings.schedule,
        batch_size=settings.batch_size,
        loop=settings.loop,
        names=lambda batch: [train.key(index) for index in batch.index.tolist()],
        title=f"{settings.task} seed {settings.seed}",
    )
    model.eval()


def _batches(settings: TransferRecipe, crops: Crops, first_step: int) -> Iterator[LabelledBatch]:
    return batches(
        crops.batch,
        num_pictures=len(crops.pictures),
        seed=crops.seed,
        batch_size=settings.batch_size,
        first_step=first_step,
        num_steps=settings.steps,
        workers=settings.workers,
        rank=ranks().rank,
        world=ranks().world,
    )


def _probe(settings: TransferRecipe, model: Segmenter, train: Pictures, folder: Path) -> None:
    """Replaces the head by the best linear layer; `folder` gets no log, there is no training."""
    model.to(_device(settings.loop.accelerator)).eval()
    num_classes = train.split.num_classes or 0
    model.head = fit_probe(
        model.features, watched(train, "features"), num_classes, settings.probe, model.mean.device
    )


def _device(accelerator: str) -> torch.device:
    return open_fabric("32", accelerator).device


def _result(settings: TransferRecipe, reached: Score, folder: Path, seconds: float) -> Result:
    is_probe = settings.task == "linear_segmentation"
    return Result(
        task=settings.task,
        metric="mIoU",
        unit="%",
        value=reached.mean,
        seed=settings.seed,
        steps=settings.probe.iterations if is_probe else settings.steps,
        labels=settings.labels,
        backbone=settings.backbone,
        backbone_sha256=settings.backbone_sha256,
        recipe=recorded_fingerprint(folder),
        versions=describe_environment()["versions"],
        seconds=round(seconds, 1),
        per_class=reached.per_class,
    )


def _write(
    settings: TransferRecipe,
    run: Run,
    backbone: Backbone,
    model: Segmenter,
    val: Pictures,
    result: Result,
) -> None:
    """Everything that a finished seed leaves behind; the result last."""
    save_backbone(
        run.folder / "backbone.safetensors",
        model.encoder,
        backbone.recipe,
        normalisation=backbone.normalisation,
        notes=backbone.notes
        | {"transfer": {"task": settings.task, "data": settings.data, "from": settings.backbone}},
    )
    for picture in itertools.islice(val, STRIPS):
        prediction = predict(model.classify, picture, model.mean.device)
        name = PurePosixPath(picture.key).with_suffix(".png").as_posix().replace("/", "_")
        write_strip(
            run.folder / "predictions" / name, strip(picture.image, picture.labels, prediction)
        )
    write_result(run.folder, result)
    run.finish()


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
