"""One cell of a transfer: one backbone, one amount of labels, one seed."""

import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch

from detcon.data.labelled.examples import Examples, LabelledData, nested_subset
from detcon.downstream.labels import read_predicted, sure
from detcon.downstream.model_file import MODEL, save_model
from detcon.downstream.network import FeatureMemory, Network
from detcon.downstream.pictures import write_png
from detcon.downstream.recipe import FineTuned, ProbeRecipe, TransferRecipe, task_name
from detcon.downstream.task import Names, Score, Task
from detcon.files import write_whole
from detcon.models.backbone_file import (
    PARTIAL,
    Backbone,
    load_backbone,
    save_backbone,
    weights_digest,
)
from detcon.models.recipe import EncoderRecipe
from detcon.notes import note, reworded
from detcon.photos import shown
from detcon.results.history import read_history
from detcon.results.inputs import Inventory, take_inventory
from detcon.results.recipe import recorded_fingerprint
from detcon.results.result import RESULT, Result, read_result, write_result
from detcon.train.environment import describe_environment, is_first_rank
from detcon.train.replica import open_replica
from detcon.train.run import open_run

STRIPS = 4
"""The number of validation photos that are drawn with their prediction."""

VAL = "val.txt"
"""The list of validation photos, which `detcon predict images=` takes."""

OpenData = Callable[[int], tuple[LabelledData, Examples]]
"""From the channels that a backbone takes to the data, and its validation photos."""


def run_cell(
    settings: TransferRecipe,
    task: Task,
    open_data: OpenData,
    data: Inventory | None = None,
    memory: FeatureMemory | None = None,
    whole: Path | None = None,
) -> Result:
    """Trains and scores one cell, or reads its result if it is finished.

    Args:
        data: What `settings.data` holds; a cell that was begun with other data is refused.
        memory: What earlier cells asked of frozen encoders, for a probe.
        whole: The folder of all cells, whose settings would differ as this one's do.

    Raises:
        ValueError: Data, a backbone or settings that don't fit; mostly before the folder is made.
    """
    folder = Path(settings.out)
    inputs = {} if data is None else {"data": data}
    if Path(settings.backbone).is_file():
        inputs["backbone"] = take_inventory(settings.backbone)
    if (folder / RESULT).is_file():
        # refuses another recipe, or other data
        open_run(folder, settings, inputs=inputs, whole=whole)
        return read_result(folder)
    begin = time.monotonic()
    backbone, network, names, train, val = prepare_cell(settings, task, open_data)
    run = open_run(folder, settings, inputs=inputs, whole=whole)
    drawn = settings.val_photos if len(val) < len(val.split.keys) else None
    before = read_history(folder).seconds
    if not isinstance(settings.task, FineTuned):  # a probe has no training loop that moves it
        network.to(open_replica("32", settings.loop.accelerator).device).eval()
    if isinstance(settings.task, ProbeRecipe) and memory is not None:
        network.memory = memory.of(weights_digest(network.encoder.state_dict()))
    task.learn(settings, network, train, folder)
    reached = task.score(settings, network, val, names)
    result = _result(settings, reached, len(val), drawn, before + time.monotonic() - begin)
    if is_first_rank():
        _list_photos(folder / VAL, val)
        _save(settings, backbone, network, names)
        _draw(folder, task, network, names, val)
        write_result(folder, result)
        run.finish()
    return result


class Prepared(NamedTuple):
    """All that a cell needs, opened and checked."""

    backbone: Backbone
    network: Network
    names: Names
    train: Examples
    val: Examples


def prepare_cell(settings: TransferRecipe, task: Task, open_data: OpenData) -> Prepared:
    """Opens the backbone and the data, and builds the network.

    Raises:
        ValueError: Data, a backbone or settings that don't fit.
    """
    backbone, network = build_network(settings, task, open_data)
    labelled, val = open_data(backbone.recipe.in_channels)
    chosen = nested_subset(len(labelled.train.keys), settings.labels, settings.seed)
    train = Examples(labelled.train, chosen)
    _note_predicted(settings, train)
    task.check(train, val, labelled.names)
    return Prepared(backbone, network, labelled.names, train, val)


def _note_predicted(settings: TransferRecipe, train: Examples) -> None:
    """Tells how many of the photos to learn from have labels that a model made."""
    listed = read_predicted(Path(settings.data, "train"))
    if listed:
        number = sum(train.key(place) in listed for place in range(len(train)))
        seed = "" if settings.labels is None else f", seed {settings.seed}"
        amount = "all" if settings.labels is None else settings.labels
        note(
            f"labels={amount}{seed}: {number} of the {len(train)} photos to learn from have labels "
            f"that 'detcon predict' made (predicted-*.txt in {Path(settings.data, 'train')})"
        )


def build_network(
    settings: TransferRecipe, task: Task, open_data: OpenData
) -> tuple[Backbone, Network]:
    """The backbone with a fresh head; both the same for the same seed."""
    told = reworded(lambda sentence: sentence.replace(PARTIAL, "backbone_partial=true"))
    with torch.random.fork_rng(devices=[]), told:
        torch.manual_seed(settings.seed)
        backbone = load_backbone(
            settings.backbone,
            encoder=settings.encoder,
            stride=settings.stride,
            partial=settings.backbone_partial,
            drop_path=getattr(settings.task, "drop_path", 0.0),
        )
        if backbone.match is not None and not backbone.match.is_full:
            note(f"{settings.backbone}: {backbone.match}")
        _note_another(backbone.recipe, settings)
        labelled, _ = open_data(backbone.recipe.in_channels)
        return backbone, task.build(settings, backbone, labelled.names)


def _note_another(found: EncoderRecipe, settings: TransferRecipe) -> None:
    """Tells when a backbone names an architecture of its own, and not that of `encoder`."""
    asked = settings.encoder
    if asked is not None and (asked.name, asked.width) != (found.name, found.width):
        note(
            f"{settings.backbone} has {found.name}, width {found.width:g}, as the file says; "
            f"encoder.name={asked.name} and encoder.width={asked.width:g} aren't used for it"
        )


def _result(
    settings: TransferRecipe, reached: Score, num_photos: int, drawn: int | None, seconds: float
) -> Result:
    task: Any = settings.task
    return Result(
        task=task_name(settings.task),
        metric=reached.metric,
        unit="%",
        value=reached.value,
        seed=settings.seed,
        steps=getattr(task, "steps", getattr(task, "iterations", 0)),  # 0: nothing is fitted
        labels=settings.labels,
        backbone=settings.backbone,
        backbone_sha256=settings.backbone_sha256,
        recipe=recorded_fingerprint(Path(settings.out)),
        versions=describe_environment()["versions"],
        seconds=round(seconds, 1),
        per_class=reached.per_class,
        figures=reached.figures,
        num_photos=num_photos,
        val_photos=drawn,
    )


def _list_photos(path: Path, val: Examples) -> None:
    """Lists the validation photos by their paths; by their names where they are no files."""
    keys, photos = map(val.key, range(len(val))), val.split.in_files
    lines = keys if photos is None else (str(photos.path(key).absolute()) for key in keys)
    write_whole(path, "".join(f"{line}\n" for line in lines))


def _save(settings: TransferRecipe, backbone: Backbone, network: Network, names: Names) -> None:
    """Writes the model and its encoder."""
    made = {"task": task_name(settings.task), "data": settings.data, "from": settings.backbone}
    save_backbone(
        Path(settings.out, "backbone.safetensors"),
        network.encoder,
        backbone.recipe,
        normalisation=backbone.normalisation,
        notes=backbone.notes | {"transfer": made},
    )
    save_model(Path(settings.out, MODEL), network, settings, backbone, names)


def _draw(folder: Path, task: Task, network: Network, names: Names, val: Examples) -> None:
    """Draws photo, truth and prediction side by side."""
    for index in dict.fromkeys(np.linspace(0, len(val) - 1, STRIPS).astype(int).tolist()):
        item = val[index]  # spread: neighbours may be frames of one film
        truth = task.draw(item.image, task.truth(item), names)
        found = task.draw(item.image, sure(task.predict(network, [item.image])[0]), names)
        name = PurePosixPath(item.key).with_suffix(".png").as_posix().replace("/", "_")
        strip = np.concatenate([shown(item.image), truth, found], axis=1)
        write_png(folder / "predictions" / name, strip)
