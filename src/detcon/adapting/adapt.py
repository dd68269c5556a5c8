"""Masks, pretraining from weights, transfer before and after, and a page with the verdict."""

import os
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch.nn import BatchNorm2d

from detcon.adapting.parts import of_masks, of_pretraining, of_transfer
from detcon.adapting.recipe import AdaptRecipe
from detcon.adapting.verdict import compare, verdict, why_no_gain
from detcon.adapting.without_labels import figures_of_fresh, without_labels
from detcon.config import RecipeError, load_recipe
from detcon.data.loader import steps_per_epoch
from detcon.downstream.recipe import GridRecipe
from detcon.downstream.transfer import check_transfer, run_grid
from detcon.masks.recipe import MasksRecipe
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.methods.recipe import WithMasks
from detcon.models.backbone_file import load_backbone
from detcon.notes import counted, say
from detcon.photos import Photos, PhotosError, check_outside, open_photos
from detcon.pretraining.recipe import PretrainRecipe
from detcon.pretraining.start import open_start
from detcon.pretraining.training import pretrain
from detcon.progress import time_left
from detcon.report.output import check_output
from detcon.report.page import make_report
from detcon.results.history import read_history
from detcon.train.environment import is_first_rank
from detcon.train.limit import TimeLimit
from detcon.train.replica import wait_for_ranks
from detcon.train.stop import Stopped


def adapt(recipe: str | Path | AdaptRecipe | None = None, /, **overrides: Any) -> Path:
    """Adapts weights to unlabelled photos, and measures whether it helped.

    Finds masks (`out/masks`), pretrains from the weights (`out/adapted`; of several pretrainings
    the second in `out/adapted_1`), transfers the weights as they were, the adapted ones and fresh
    ones to the labelled data (`out/transfer`), and makes a page whose first sentence is the answer
    (`out/report.html`). Given again, it goes on where it stopped.

    Args:
        recipe: A recipe, its YAML file, or None for the defaults.
        **overrides: The settings of `AdaptRecipe`; `pretrain` and `transfer` as mappings.

    Returns:
        The page; after `hours`, the folder of what was done so far.

    Raises:
        ValueError: Photos, weights, data or settings that don't fit; the sentence says which.
        OSError: A disk that is full or can't be written.
    """
    settings = load_recipe(AdaptRecipe, recipe, overrides)
    out = Path(settings.out)
    if settings.weights.source == "random":
        raise RecipeError("weights=random knows nothing to adapt; give trained ones, or pretrain")
    plan, grid = _pretraining(settings), _transfer(settings)  # wrong settings are found now
    check_outside(out, settings.images)
    check_output(out / "report.html", suffixes=(".html",))
    with TimeLimit(settings.hours) as limit:
        try:
            return _carry_out(settings, plan, grid)
        except (Stopped, KeyboardInterrupt):
            if not limit.passed:
                raise
            _say(f"the {settings.hours:g} hours are over; give the same command again to go on")
            return out


def _carry_out(settings: AdaptRecipe, plan: PretrainRecipe, grid: GridRecipe | None) -> Path:
    out, begin = Path(settings.out), time.monotonic()
    if not (out / "adapted" / "backbone.safetensors").is_file():
        _check(settings, plan, grid)
    _say(_ahead(settings, plan, grid))
    if _makes_masks(settings, plan):
        _say(f"1/4  masks: {settings.masks}, of the photos alone")
        if is_first_rank():
            with of_masks():
                make_masks(_masks(settings))
        wait_for_ranks()
    adapted, count = _pretrained(settings, plan, begin), settings.pretrainings
    runs = [backbone.parent for backbone in adapted]
    if grid is None:
        _say(f"3/4  no labelled data: figures without labels{_so_far(begin)}")
        sentences = without_labels(
            adapted[0], figures_of_fresh(plan, adapted[0]) if settings.fresh else {}
        )
    else:
        _say(
            f"3/4  transfer: before and after, with the same labelled photos{_so_far(begin)}; how "
            f"long all of them take is told after the first"
        )
        with of_transfer():
            results = run_grid(_with_backbones(grid, settings, adapted))
        found = compare(results, settings.weights.source, [str(one) for one in adapted])
        why = _reasons(plan, adapted[0])
        sentences = verdict(found, seeds=settings.seeds, pretrainings=count, reasons=why)
        runs.append(out / "transfer")
    _say(f"4/4  the page{_so_far(begin)}")
    page = out / "report.html"
    if is_first_rank():
        names = {str(run): run.name for run in runs[:count]}
        make_report(runs, out=page, title="Adapted to your photos", lead=sentences, names=names)
        _say("\n".join(sentences))
    return page


def _pretrained(settings: AdaptRecipe, plan: PretrainRecipe, begin: float) -> list[Path]:
    """The adapted backbones, those that are there already among them."""
    count, adapted = settings.pretrainings, []
    outs = [f"{plan.out}_{i}" if i else plan.out for i in range(count)]
    left = [out for out in outs if not Path(out, "backbone.safetensors").is_file()]
    first = time.monotonic()
    for i, out in enumerate(outs):
        number, missing = "", len(left) - sum(one in left for one in outs[:i])
        if count > 1:
            number = f" {i + 1} of {count}"
            number += time_left(first, len(left) - missing, missing).replace("left", "for the rest")
        kind, source = plan.method.kind, settings.weights.source
        _say(f"2/4  pretraining{number}: {kind}, from {source}{_so_far(begin)}")
        with of_pretraining():
            adapted.append(pretrain(plan.model_copy(update={"seed": plan.seed + i, "out": out})))
    return adapted


def _ahead(settings: AdaptRecipe, plan: PretrainRecipe, grid: GridRecipe | None) -> str:
    """What is to come, in counts: how long it takes isn't known before a part of it is done."""
    updates = f"{plan.epochs} epochs" if plan.steps is None else counted(plan.steps, "update")
    each = " each" if settings.pretrainings > 1 else ""
    stages = ["masks"] if _makes_masks(settings, plan) else []
    stages.append(f"{counted(settings.pretrainings, 'pretraining')} of {updates}{each}")
    if grid is not None:
        weights = 1 + settings.pretrainings + settings.fresh
        cells = weights * len(grid.amounts) * settings.seeds
        steps = getattr(grid.task, "steps", None)
        each = "" if steps is None else f" of {counted(steps, 'update')} each"
        stages.append(
            f"{counted(cells, 'transfer')}{each} ({weights} weights x "
            f"{counted(len(grid.amounts), 'number')} of labels x {counted(settings.seeds, 'seed')})"
        )
    what = "in all" if Path(plan.out).exists() else "to come"
    return (
        f"{what}: {', '.join(stages)}, and the page. Each says how much time is left once its own "
        f"pace is known"
    )


def _so_far(begin: float) -> str:
    """The end of a line: the time since the command was given; "" in its first second."""
    seconds = round(time.monotonic() - begin)
    return f" · {timedelta(seconds=seconds)} so far" if seconds else ""


def _reasons(plan: PretrainRecipe, adapted: Path) -> str:
    """What no gain may mean, by what was done."""
    backbone = load_backbone(adapted)
    try:
        photos = len(open_photos(plan.images, backbone.recipe.in_channels))
    except PhotosError:  # a finished run does without
        photos = None
    steps, _ = read_history(adapted.parent).curve("step")
    norms = None
    if any(isinstance(one, BatchNorm2d) for one in backbone.encoder.modules()):
        norms = "frozen" if plan.freeze_norms else "moving"
    return why_no_gain(max(steps, default=0), plan.batch_size, photos, norms)


def _check(settings: AdaptRecipe, plan: PretrainRecipe, grid: GridRecipe | None) -> None:
    """Finds now, not after hours, what is wrong with photos, weights or labelled data."""
    with of_pretraining():
        start, _ = open_start(plan)
        photos = open_photos(plan.images, start.encoder.in_channels)
    if grid is not None:
        with of_transfer():
            val = check_transfer(grid.model_copy(update={"encoder": start.encoder}))
        _tell_seen(settings, photos, val)
    if plan.steps != 0:
        with of_pretraining():
            steps_per_epoch(len(photos), plan.batch_size)


def _tell_seen(settings: AdaptRecipe, photos: Photos, val: Sequence[Path]) -> None:
    """Says how many validation photos are learnt from without their labels."""
    if photos.members is not None or not val:
        return
    learnt = {os.path.realpath(photos.path(key)) for key in photos.keys}
    if both := [path for path in val if os.path.realpath(path) in learnt]:
        _say(
            f"{len(both)} of {counted(len(val), 'validation photo')} of {settings.data} are among "
            f"images={settings.images}, the first is {both[0]}: they are learnt from without their "
            f"labels, and the answer is for such photos; for new ones leave them out of images="
        )


def _makes_masks(settings: AdaptRecipe, plan: PretrainRecipe) -> bool:
    """Whether masks are made here: not where a store is given, be it this run's own one."""
    return plan.masks == str(Path(settings.out) / "masks") != settings.masks


def _masks(settings: AdaptRecipe) -> MasksRecipe:
    places = {"images": settings.images, "out": str(Path(settings.out) / "masks")}
    return load_recipe(MasksRecipe, settings.masks, places)


def _pretraining(settings: AdaptRecipe) -> PretrainRecipe:
    """The recipe of the pretraining: photos, masks, weights and folder are set here."""
    out = Path(settings.out)
    recipe, own = _parts(settings.pretrain, "adapt")
    own |= {"images": settings.images, "out": str(out / "adapted"), "seed": settings.seed}
    own["weights"] = settings.weights
    with of_pretraining():
        plan = load_recipe(PretrainRecipe, recipe, own, part="pretrain")
    if not isinstance(plan.method, WithMasks) or plan.discovery is not None:
        return plan
    if Path(settings.masks).is_dir():
        MaskStore(settings.masks)  # a folder that is none is found now
        return plan.model_copy(update={"masks": settings.masks})
    if len(Path(settings.masks).parts) > 1 and not Path(settings.masks).suffix:
        raise RecipeError(
            f"masks={settings.masks}: there is no such folder; give that of a store, or a recipe "
            f"of 'detcon masks', as masks=felzenszwalb_small"
        )
    _masks(settings)
    return plan.model_copy(update={"masks": str(out / "masks")})


def _transfer(settings: AdaptRecipe) -> GridRecipe | None:
    """The recipe of the transfers, from the weights alone so far; None without labelled data."""
    if settings.data is None:
        return None
    recipe, own = _parts(settings.transfer, "folder_fcn")
    own |= {"data": settings.data, "out": str(Path(settings.out) / "transfer")}
    own |= {"backbone": settings.weights.source, "labels": settings.labels}
    own |= {"seeds": settings.seeds, "seed": settings.seed}
    for name in ("task", "format", "val"):
        if (value := getattr(settings, name)) is not None:
            own[name] = value
    if settings.weights.partial:
        own.setdefault("backbone_partial", True)
    with of_transfer():
        return load_recipe(GridRecipe, recipe, own, part="transfer")


def _with_backbones(grid: GridRecipe, settings: AdaptRecipe, adapted: list[Path]) -> GridRecipe:
    """Adds the adapted weights, and fresh ones of the same network."""
    fresh = ["random"] if settings.fresh else []
    backbones = [settings.weights.source, *(str(one) for one in adapted), *fresh]
    changed = {"backbone": tuple(backbones), "encoder": load_backbone(adapted[0]).recipe}
    return grid.model_copy(update=changed)


def _parts(values: Mapping[str, Any], usual: str) -> tuple[str, dict[str, Any]]:
    """The name of a recipe, `usual` unless one is given, and the settings over it."""
    own = dict(values)
    return own.pop("recipe", usual), own


def _say(sentence: str) -> None:
    if is_first_rank():
        say(sentence)
