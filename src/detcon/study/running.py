"""`detcon study`: runs, plans or reports a study.

Missing cells run until all are done or the time is up.
"""

import shlex
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from detcon.config import Recipe, load_recipe, nearest, shown
from detcon.downstream.recipe import GridRecipe
from detcon.downstream.transfer import transfer
from detcon.files import check_writable, locked
from detcon.masks.quality.overlap import Quality
from detcon.masks.recipe import parse_share
from detcon.notes import say
from detcon.photos import Photos, open_photos
from detcon.pretraining.discovery import discovered
from detcon.pretraining.inputs import take_inputs
from detcon.pretraining.recipe import PretrainRecipe
from detcon.pretraining.training import pretrain
from detcon.results.history import read_history
from detcon.results.inputs import read_inputs, what_changed
from detcon.results.lines import read_lines
from detcon.results.result import Result
from detcon.study import StudyError
from detcon.study.arranged import check_figure
from detcon.study.cell import PRETRAINED, SUPERVISED, Cell, make_cells, of_part, with_weights
from detcon.study.inputs import check_inputs, recorded_inputs
from detcon.study.label_free import measure_backbone, read_figures
from detcon.study.places import Places, check_folders, lock_file
from detcon.study.plan import print_plan
from detcon.study.recipe import Folder, StudyRecipe
from detcon.study.records import Record, append_record, find_records
from detcon.study.report import write_report
from detcon.train.environment import describe_environment
from detcon.train.limit import TimeLimit
from detcon.train.run import LAST
from detcon.train.stop import Stopped

BACKBONE = "backbone.safetensors"
MACHINE = ("python", "device", "cpu", "cores", "threads", "system")
EMBEDDINGS = ("embedding_std", "effective_rank", "accuracy")

OF_THIS_TIME = ("results", "work", "out", "hours", "shard", "plan", "report")
"""Settings that don't change the results."""


def run_study(
    recipe: str | Path | Recipe | None = None, /, *, words: Sequence[str] = (), **overrides: Any
) -> Path | None:
    """Runs the missing cells of a study; or lists its cells, or writes its report.

    Killed at any moment, it loses at most the steps since the last checkpoint: given again, it
    goes on there, and never runs a finished cell twice.

    Args:
        recipe: The study's YAML file, or what was loaded from it.
        words: The words of the command line, which the results record.
        **overrides: Settings by name, as on the command line: `run_study("studies/quick.yaml",
            hours=1)`, `**{"data.camvid": "camvid"}`.

    Returns:
        The file of results, or the report; None after a plan, which is printed.

    Raises:
        ValueError: A study whose parts don't fit, a missing folder, results of another recipe,
            or cells that failed.
        Stopped: After a signal, with a checkpoint saved.
    """
    study = load_recipe(StudyRecipe, recipe, overrides)
    if not words:
        words = [str(recipe)] if isinstance(recipe, str | Path) else []
        words += [f"{name}={shown(value)}" for name, value in overrides.items()]
    check_figure(study)
    cells = make_cells(study)
    _check_given(study if recipe is None else load_recipe(StudyRecipe, recipe), cells, words)
    done = find_records(Path(study.results_file), cells)
    if study.plan:
        print_plan(study, share_of(cells, study.shard), done)
        return None
    if study.report:
        return write_report(study, cells, done)
    run_cells(study, share_of(cells, study.shard), done, _command(study, words))
    return Path(study.results_file)


def _check_given(written: StudyRecipe, cells: Sequence[Cell], words: Sequence[str]) -> None:
    """Refuses a place for data or weights that neither the study's file nor a cell names."""
    known = {f"data.{name}" for name in written.data} | {f"weights.{n}" for n in written.weights}
    for cell in cells:
        known |= {f"data.{name}" for name in cell.data} | {f"weights.{n}" for n in cell.weights}
    for word in words:
        name = ".".join(word.partition("=")[0].split(".")[:2])
        if name.startswith(("data.", "weights.")) and name not in known:
            raise StudyError(
                f"no cell of the study {written.name} uses {name}{nearest(name, known)}"
            )


def _command(study: StudyRecipe, words: Sequence[str]) -> str:
    """The command that repeats these results on another machine, without paths of this one."""
    folders = [f"data.{name}" for name, data in study.data.items() if isinstance(data, Folder)]
    files = [f"weights.{name}" for name in study.weights]
    left_out = (*OF_THIS_TIME, *folders, "data", *files, "weights")
    recipes = [Path(w).name if Path(w).is_absolute() else w for w in words if "=" not in w]
    kept = [w for w in words if "=" in w and w.partition("=")[0] not in left_out]
    given = [*(f"{name}=DIR" for name in folders), *(f"{name}=FILE" for name in files)]
    return shlex.join(["detcon", "study", *recipes, *given, *kept])


def share_of(cells: Sequence[Cell], shard: str | None) -> list[Cell]:
    """The cells of one share, such as `2/3`; cells with the same pretraining stay together."""
    share, shares = parse_share(shard or "1/1")
    runs = list(dict.fromkeys(_run(cell) for cell in cells))
    mine = set(runs[share - 1 :: shares])
    return [cell for cell in cells if _run(cell) in mine]


def _run(cell: Cell) -> str:
    return cell.pretraining or cell.fingerprint


def run_cells(
    study: StudyRecipe, cells: Sequence[Cell], done: Mapping[str, Record], command: str
) -> None:
    """Runs the cells that aren't done, and appends a result for each.

    A failed cell is reported, and the next one runs. When the time is up, the current cell
    stops with a checkpoint; the same command goes on from there. Cells that other processes run
    in the same work folder are left to them.

    Raises:
        StudyError: A folder is missing, or isn't what finished cells learnt from (checked before
            the first cell), or cells have failed (after the last cell).
        PermissionError: The file of results can't be written (before the first cell).
    """
    left = [cell for cell in cells if cell.fingerprint not in done]
    places, unmeasured = Places(study), _unmeasured(study, cells, done)
    check_folders(study, [*left, *unmeasured])
    check_writable(Path(study.results_file))
    check_inputs(study, cells, done, places)
    for cell in unmeasured:
        with locked(lock_file(study, _run(cell)), wait=False) as is_ours:
            if is_ours:
                measure_backbone(study, cell, places, _folder(study, cell) / BACKBONE)
    failed: dict[str, ValueError] = {}
    with TimeLimit(study.hours) as limit, closing(_free(study, left)) as free:
        try:
            while not limit.passed and (cell := next(free, None)):
                number = 1 + left.index(cell)
                say(f"study {study.name}: cell {number} of {len(left)}, {cell.name}")
                try:
                    carry_out(study, cell, places, command)
                except ValueError as error:
                    failed[cell.name] = error
                    say(f"the cell {cell.name} failed: {error}")
        except (Stopped, KeyboardInterrupt):
            if not limit.passed:
                raise
    if failed:
        name, error = next(iter(failed.items()))
        raise StudyError(f"{len(failed)} of {len(left)} cells failed, the first is {name}: {error}")
    missing = len([cell for cell in left if cell.fingerprint not in _finished(study)])
    if missing and limit.passed:
        say(
            f"the time is up: {len(cells) - missing} of {len(cells)} cells are done; give "
            f"the same command again to go on"
        )
    elif missing:
        say(
            f"{len(cells) - missing} of {len(cells)} cells are done; other processes run the "
            f"rest in {study.work_folder}"
        )


def _free(study: StudyRecipe, cells: Sequence[Cell]) -> Generator[Cell, None, None]:
    """The cells that no other process has finished or runs, nor another of their pretraining.

    Each is locked until the next one is asked for. Cells that were locked are tried again after
    the others.
    """
    busy: list[Cell] = []
    for cell in cells:
        with locked(lock_file(study, _run(cell)), wait=False) as is_ours:
            if not is_ours:
                busy.append(cell)
            elif cell.fingerprint not in _finished(study):
                yield cell
    if 0 < len(busy) < len(cells):
        yield from _free(study, busy)


def _finished(study: StudyRecipe) -> set[Any]:
    """The fingerprints in the file of results, to which other processes append."""
    rows, _ = read_lines(Path(study.results_file))
    return {row.get("fingerprint") for row in rows.values()}


def _unmeasured(
    study: StudyRecipe, cells: Sequence[Cell], done: Mapping[str, Record]
) -> list[Cell]:
    """Finished cells whose backbone is still there, and was not measured without labels."""
    measured = read_figures(study)
    left = {
        cell.pretraining: cell
        for cell in cells
        if study.label_free and cell.fingerprint in done and cell.pretraining not in measured
    }
    return [cell for cell in left.values() if (_folder(study, cell) / BACKBONE).is_file()]


def carry_out(study: StudyRecipe, cell: Cell, places: Places, command: str) -> Record:
    """Runs or resumes one cell; saves its result, and deletes the transfer's network."""
    backbone, seconds = places.weights(cell.settings.transfer.backbone), 0.0
    if backbone == PRETRAINED:
        backbone, seconds = _pretrain(study, cell, places)
        measure_backbone(study, cell, places, Path(backbone))
    elif backbone == SUPERVISED:
        backbone, seconds = _supervise(study, cell, places)
    out = Path(study.work_folder, "transfer", cell.fingerprint)
    settings = cell.settings.transfer.model_dump(mode="json")
    data = places.data(cell.settings.transfer.data)
    with of_part("transfer", GridRecipe):
        (result,) = transfer(
            None, **settings | {"data": data, "backbone": str(backbone), "out": out}
        )
    record = _record(study, cell, places, command, result, seconds)
    append_record(Path(study.results_file), record)
    shutil.rmtree(out)
    return record


def _pretrain(study: StudyRecipe, cell: Cell, places: Places) -> tuple[Path, float]:
    """The backbone of a cell, trained unless it is there, and the seconds of its training."""
    settings = cell.settings.pretrain
    assert settings is not None
    out = _folder(study, cell)
    backbone = out / BACKBONE
    images = places.images(settings.images)
    if backbone.is_file():
        _check_photos(out, open_photos(images, settings.encoder.in_channels))
    else:
        masks = places.masks(settings.images, settings.masks) if settings.masks else None
        folders = {"images": images, "masks": masks, "out": out}
        placed = with_weights(
            settings, lambda one: one.model_copy(update={"source": places.weights(one.source)})
        )
        with of_part("pretrain", PretrainRecipe):
            pretrain(None, **placed.model_dump(mode="json") | folders)
    (out / LAST).unlink(missing_ok=True)
    return backbone, read_history(out).seconds


def _check_photos(out: Path, photos: Photos) -> None:
    """Refuses a finished backbone that learnt from other photos than a name stands for now."""
    before = read_inputs(out).get("images")
    changed = before and what_changed(before, take_inputs(photos, None)["images"], same_place=False)
    if changed:
        raise StudyError(
            f"{out} was trained on other photos than those of {photos.source} ({changed}); give "
            f"another work=, or remove {out} to train it again"
        )


def _supervise(study: StudyRecipe, cell: Cell, places: Places) -> tuple[Path, float]:
    """The backbone of a cell that learns from labels, and the seconds of its training."""
    settings = cell.settings.supervise
    assert settings is not None
    out = _folder(study, cell)
    folders = {"data": places.data(settings.data), "out": out}
    with of_part("supervise", GridRecipe):
        (result,) = transfer(None, **settings.model_dump(mode="json") | folders)
    return out / f"seed{settings.seed}" / "backbone.safetensors", result.seconds


def _folder(study: StudyRecipe, cell: Cell) -> Path:
    """The run folder of the pretraining."""
    return Path(study.work_folder, "pretrain", cell.pretraining or "")


def _quality(study: StudyRecipe, cell: Cell, places: Places) -> Quality | None:
    """How the cell's masks match the true ones; of discovered masks, the last."""
    pretrain = cell.settings.pretrain
    if pretrain is None:
        return None
    if found := discovered(_folder(study, cell)):
        return places.quality_of(pretrain.images, found[-1])
    if pretrain.masks is None:
        return None
    return places.quality(pretrain.images, pretrain.masks)


def _embeddings(study: StudyRecipe, cell: Cell) -> dict[str, float] | None:
    """The figures of `detcon.pretraining.collapse` at the last log; None without pretraining."""
    if cell.pretraining is None:
        return None
    history = read_history(_folder(study, cell))
    curves = {name: history.curve(name)[1] for name in EMBEDDINGS}
    return {name: round(values[-1], 4) for name, values in curves.items() if values} or None


def _record(
    study: StudyRecipe, cell: Cell, places: Places, command: str, result: Result, seconds: float
) -> Record:
    environment: Mapping[str, Any] = describe_environment()
    quality = _quality(study, cell, places)
    return Record(
        study=study.name,
        cell=cell.points[0],
        command=command,
        fingerprint=cell.fingerprint,
        metric=result.metric,
        unit=result.unit,
        value=result.value,
        figures=result.figures,
        per_class=result.per_class,
        pairs=cell.pairs,
        overlap=quality and quality.average_best_overlap,
        masks=quality and {"number": quality.masks, "area": quality.area},
        embeddings=_embeddings(study, cell),
        inputs=recorded_inputs(study, cell, places),
        seconds={"pretrain": round(seconds, 1), "transfer": result.seconds},
        versions=result.versions,
        machine={name: environment[name] for name in MACHINE},
        settings=cell.settings.model_dump(mode="json"),
    )
