"""Transfer: trains and scores a labelled task from each backbone."""

import hashlib
import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from detcon.config import load_recipe
from detcon.data.labelled.examples import Examples, LabelledData, drawn_subset
from detcon.downstream.cell import VAL, OpenData, prepare_cell, run_cell
from detcon.downstream.network import FeatureMemory
from detcon.downstream.recipe import GridRecipe, TransferRecipe
from detcon.downstream.task import Task, open_task
from detcon.downstream.tasks.detection.data import has_masks
from detcon.downstream.tasks.detection.recipe import DetectionRecipe
from detcon.formats.registry import resolved
from detcon.models.backbone_file import BackboneError, load_backbone
from detcon.models.recipe import EncoderRecipe
from detcon.notes import counted, note, say
from detcon.photos import check_outside
from detcon.progress import time_left
from detcon.results.difference import RANDOM, compare_backbones
from detcon.results.inputs import take_inventory
from detcon.results.result import RESULT, Result, written
from detcon.results.statistics import deviation
from detcon.train.environment import is_first_rank
from detcon.train.replica import settled
from detcon.train.stop import Stopped

LISTED = 8
"""Classes whose figures are printed."""


def transfer(recipe: str | Path | GridRecipe | None = None, /, **overrides: Any) -> list[Result]:
    """Trains a task from each backbone with each amount of labels and seed, and scores it.

    Seed N has the folder `out/seedN` with the recipe, the log, `model.safetensors` (the trained
    network, for `load_model` and `detcon predict`), `backbone.safetensors` (its encoder),
    `predictions/*.png`, `result.json` and the validation photos in `val.txt`; of several backbones
    or amounts of labels, `out/BACKBONE/labelsM/seedN`. Given again, an interrupted cell
    goes on where it stopped, and a finished one is only read; a grid may grow.

    Args:
        recipe: A recipe, its YAML file or name, or None for the defaults.
        **overrides: Settings by name, as on the command line; names with a dot in a mapping:
            `transfer(backbone="b.safetensors", data="d", out="o", **{"task.optimizer.lr": 1e-3})`.

    Returns:
        One result a cell: by backbone, then labels, then seed.

    Raises:
        ValueError: Data, a backbone or settings that don't fit; the sentence says which.
        OSError: A disk that is full or can't be written.
    """
    grid = load_recipe(GridRecipe, recipe, overrides)
    results = run_grid(grid)
    if is_first_rank() and len(grid.backbones) > 1:
        _say_differences(results, dict(_short_names(grid), random=RANDOM))
    return results


def run_grid(grid: GridRecipe) -> list[Result]:
    """`transfer` with a table of results, but no sentences about them."""
    grid = _settled(grid)
    task, open_data = _opened(grid)
    cells, data = list(_cells(grid)), take_inventory(grid.data, without=Path(grid.out))
    loop = settled(grid.loop, *(cell.out for cell in cells))
    cells = [cell.model_copy(update={"loop": loop}) for cell in cells]
    for cell in _first_of_each(cells)[1:]:  # the first is next
        prepare_cell(cell, task, open_data)
    finished = [cell for cell in cells if Path(cell.out, RESULT).is_file()]
    results, begin, missing = [], time.monotonic(), len(cells) - len(finished)
    memory = FeatureMemory()
    try:
        for number, cell in enumerate(cells, 1):
            if cell not in finished:
                made = len(cells) - len(finished) - missing
                _announce(cell, f"{number} of {len(cells)}", time_left(begin, made, missing))
                missing -= 1
            results.append(run_cell(cell, task, open_data, data, memory, Path(grid.out)))
    except (Stopped, KeyboardInterrupt):
        if len(cells) > 1 and is_first_rank():
            kept = sum(Path(cell.out, RESULT).is_file() for cell in cells)
            say(f"{kept} of {len(cells)} results are kept")
        raise
    if is_first_rank():
        if finished:
            there = f"{len(finished)} of {len(cells)} results were there"
            say(f"{there}, of the same data: only read again")
        _say(results, _short_names(grid))
    return results


def check_transfer(grid: GridRecipe) -> list[Path]:
    """Opens backbones and data, for what is wrong to be found now. Raises as `transfer` does.

    Returns:
        The validation photos of the unfinished cells; none where they are no files of their own.
    """
    grid = _settled(grid)
    task, open_data = _opened(grid)
    val: list[Path] = []
    for cell in _first_of_each(list(_cells(grid))):
        split = prepare_cell(cell, task, open_data).val.split
        val = [] if split.in_files is None else [split.in_files.path(key) for key in split.keys]
    return val


def _opened(grid: GridRecipe) -> tuple[Task, OpenData]:
    task = open_task(grid.task)

    @lru_cache(maxsize=1)  # backbones mostly take the same number of channels
    def open_data(channels: int) -> tuple[LabelledData, Examples]:
        labelled = task.open(grid, channels)
        for photos in labelled.in_files():
            if not Path(photos.root).samefile(grid.data):  # out=data/runs is no matter
                check_outside(grid.out, photos.root)
        if both := labelled.shared():
            note(
                f"{grid.data}: {len(both)} of {len(labelled.val.keys)} validation photos have the "
                f"name and size of a training photo, {both[0]} first; if they are the same, the "
                f"figures are too good: take them out of one"
            )
        if grid.val is not None:
            val, num_train = labelled.val.keys, len(labelled.train.keys)
            note(
                f"val={grid.val:g}: {len(val)} of {len(val) + num_train} photos are val, the first "
                f"is {val[0]}; {VAL} in the folder of each seed lists them"
            )
        chosen = drawn_subset(labelled.val.keys, grid.val_photos)
        if len(chosen) < len(labelled.val.keys):
            note(
                f"val_photos={grid.val_photos}: scored on {len(chosen)} of "
                f"{counted(len(labelled.val.keys), 'validation photo')}, drawn by their names; "
                f"{VAL} in the folder of each seed lists them"
            )
        return labelled, Examples(labelled.val, chosen)

    return task, open_data


def _first_of_each(cells: Sequence[TransferRecipe]) -> list[TransferRecipe]:
    """Of the unfinished cells the first with each backbone and with each amount of labels."""
    left = [cell for cell in reversed(cells) if not Path(cell.out, RESULT).is_file()]
    first = {cell.labels: cell for cell in left} | {cell.backbone: cell for cell in left}
    return [cell for cell in reversed(left) if any(cell is one for one in first.values())]


def _announce(cell: TransferRecipe, which: str, left: str) -> None:
    """One line a cell of several: a probe has no progress of its own where there is no terminal."""
    if which != "1 of 1" and is_first_rank():
        labels = "all labels" if cell.labels is None else f"{cell.labels} labels"
        say(f"transfer {which}: {cell.backbone}, {labels}, seed {cell.seed}{left}")


def _settled(grid: GridRecipe) -> GridRecipe:
    """Settles what the data decide, and says so: the format, and whether masks are learnt."""
    grid = grid.model_copy(update={"format": resolved(grid.data, grid.format)})
    task = grid.task
    if isinstance(task, DetectionRecipe) and task.detector.masks == "auto":
        masks = has_masks(grid)
        if not masks:
            note(f"{grid.data}: boxes without masks; boxes alone are learnt")
        detector = task.detector.model_copy(update={"masks": masks})
        grid = grid.model_copy(update={"task": task.model_copy(update={"detector": detector})})
    return grid


def _cells(grid: GridRecipe) -> Iterator[TransferRecipe]:
    """The recipe of each cell, with its own folder."""
    names = _folder_names(grid.backbones)
    shared = grid.model_dump(exclude={"backbone", "labels", "seeds", "seed", "out"})
    of_random = _encoder_of_random(grid)
    for backbone, name in zip(grid.backbones, names, strict=True):
        digest = _digest(Path(backbone), grid.backbone_sha256)
        for labels in grid.amounts:
            amount = "all" if labels is None else f"labels{labels}"
            place = Path(grid.out, name, amount) if grid.is_grid else Path(grid.out)
            for seed in range(grid.seed, grid.seed + grid.seeds):
                own = {"backbone": backbone, "labels": labels, "seed": seed}
                own |= {"out": str(place / f"seed{seed}"), "backbone_sha256": digest}
                if backbone == "random":
                    own["encoder"] = of_random
                yield TransferRecipe(**(shared | own))


def _encoder_of_random(grid: GridRecipe) -> EncoderRecipe | None:
    """The architecture of random weights: as given, or that of the first of the others."""
    others = [backbone for backbone in grid.backbones if backbone != "random"]
    if grid.encoder is not None or "random" not in grid.backbones or not others:
        return grid.encoder
    return load_backbone(others[0], partial=grid.backbone_partial).recipe


def _folder_names(backbones: Sequence[str]) -> list[str]:
    """A short name for each: of a run's file its folder, else of the file or the source itself."""
    names: list[str] = []
    for backbone in backbones:
        path = Path(backbone)
        name = path.parent.name if path.stem == "backbone" else path.stem
        name = (name or "backbone").replace(":", "_")
        taken = names.count(name) + sum(n.startswith(f"{name}-") for n in names)
        names.append(f"{name}-{taken + 1}" if taken else name)
    return names


def _short_names(grid: GridRecipe) -> dict[str, str]:
    return dict(zip(grid.backbones, _folder_names(grid.backbones), strict=True))


def _digest(path: Path, wanted: str | None) -> str | None:
    """Which bytes a backbone has, so that another file of its name isn't mistaken for it."""
    if not path.is_file():
        return wanted
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if wanted not in (None, found):
        raise BackboneError(
            f"{path} has the SHA-256 {found}, not the {wanted} asked for; give the right file, or "
            f"leave backbone_sha256 out"
        )
    return found


def _say(results: Sequence[Result], names: Mapping[str, str]) -> None:
    """A table: a row for each backbone and amount of labels, each seed, their mean and spread."""
    first = results[0]
    text = partial(written, figure=first.metric, unit=first.unit)
    seeds = list(dict.fromkeys(result.seed for result in results))
    table = Table(box=None, pad_edge=False)
    table.add_column("backbone", overflow="fold")
    lasted = "seconds" if len(seeds) == 1 else "seconds in all"
    for name in ("labels", *(f"seed {seed}" for seed in seeds), "mean", "std", lasted):
        table.add_column(name, justify="right")
    for (backbone, labels), group in groupby(results, lambda one: (one.backbone, one.labels)):
        found = list(group)
        values = [result.value for result in found]
        spread = deviation(values)
        table.add_row(
            names[backbone],
            "all" if labels is None else str(labels),
            *map(text, values),
            text(statistics.mean(values)),
            "" if spread is None else text(spread),
            f"{sum(result.seconds for result in found):.0f}",
        )
    console = Console(highlight=False)
    same = {result.num_photos for result in results}
    number = same.pop() if len(same) == 1 else None
    of = f", of {counted(number, 'validation photo')}" if number else ""
    of += ", drawn from all" if first.val_photos is not None else ""
    title = f"{first.task}: {first.metric} in {first.unit}{of}"
    console.print(title, soft_wrap=True, markup=False)
    console.print(table)
    if len({result.backbone for result in results}) == 1 and (line := _by_class(results)):
        console.print(line, soft_wrap=True, markup=False)


def _by_class(results: Sequence[Result]) -> str:
    """The figures by class with the most labels, the lowest first, and AP50; "" without classes."""
    most = max(one.labels or math.inf for one in results)
    found = [one for one in results if (one.labels or math.inf) == most]
    text = partial(written, figure=found[0].metric, unit=found[0].unit)
    classes = _means([one.per_class for one in found])
    if not classes:
        return ""
    lowest = sorted(classes, key=lambda name: classes[name])
    parts = [f"{name} {text(classes[name])}" for name in lowest[:LISTED]]
    figures = _means([one.figures for one in found])
    besides = [f"; {name} {text(figures[name])}" for name in figures if name.endswith("AP50")]
    rest = ", …" if len(lowest) > LISTED else ""
    if absent := [name for name in found[0].per_class if name not in classes and name != "class 0"]:
        rest += f"; not in val: {', '.join(absent[:LISTED])}"
    return f"by class, lowest first: {', '.join(parts)}{rest}{''.join(besides)}"


def _means(figures: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """The mean of each figure over the runs that have it."""
    found = {name: [one.get(name) for one in figures] for name in figures[0]}
    there = {name: [one for one in some if one is not None] for name, some in found.items()}
    return {name: statistics.mean(some) for name, some in there.items() if some}


def _say_differences(results: Sequence[Result], names: Mapping[str, str]) -> None:
    """A sentence for each amount of labels: which backbones are better, if that can be told."""
    values: dict[int | None, dict[str, dict[int, float]]] = {}
    for one in results:
        amount = values.setdefault(one.labels, {})
        amount.setdefault(names[one.backbone], {})[one.seed] = one.value
    task, metric, unit = results[0].task.replace("_", " "), results[0].metric, results[0].unit
    console = Console(highlight=False)
    for labels, found in values.items():
        sentence = compare_backbones(found, task=task, labels=labels, metric=metric, unit=unit)
        console.print(sentence, soft_wrap=True, markup=False)
