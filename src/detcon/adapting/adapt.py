"""Masks, pretraining from weights, transfer before and after, and a page with the verdict."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.nn import BatchNorm2d

from detcon.adapting.recipe import AdaptRecipe
from detcon.adapting.verdict import compare, verdict, why_no_gain
from detcon.adapting.without_labels import figures_of_fresh, without_labels
from detcon.config import RecipeError, load_recipe
from detcon.data.loader import BatchTooLarge, steps_per_epoch
from detcon.downstream.recipe import GridRecipe
from detcon.downstream.transfer import check_transfer, run_grid
from detcon.masks.recipe import MasksRecipe
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.methods.recipe import WithMasks
from detcon.models.backbone_file import load_backbone
from detcon.notes import counted, say
from detcon.photos import PhotosError, check_outside, open_photos
from detcon.pretraining.recipe import PretrainRecipe
from detcon.pretraining.start import open_start
from detcon.pretraining.training import pretrain
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
    out = Path(settings.out)
    if not (out / "adapted" / "backbone.safetensors").is_file():
        _check(plan, grid)
    if grid is not None:
        _say(_ahead(settings, grid))
    if plan.masks is not None and plan.masks == str(out / "masks"):
        _say(f"1/4  masks: {settings.masks}, of the photos alone")
        if is_first_rank():
            make_masks(_masks(settings))
        wait_for_ranks()
    adapted, count = [], settings.pretrainings
    for i in range(count):
        number = f" {i + 1} of {count}" if count > 1 else ""
        _say(f"2/4  pretraining{number}: {plan.method.kind}, from {settings.weights.source}")
        other = {"seed": plan.seed + i, "out": f"{plan.out}_{i}" if i else plan.out}
        adapted.append(pretrain(plan.model_copy(update=other)))
    runs = [backbone.parent for backbone in adapted]
    if grid is None:
        _say("3/4  no labelled data: figures without labels")
        sentences = without_labels(
            adapted[0], figures_of_fresh(plan, adapted[0]) if settings.fresh else {}
        )
    else:
        _say("3/4  transfer: before and after, with the same labelled photos")
        results = run_grid(_with_backbones(grid, settings, adapted))
        found = compare(results, settings.weights.source, [str(one) for one in adapted])
        why = _reasons(plan, adapted[0])
        sentences = verdict(found, seeds=settings.seeds, pretrainings=count, reasons=why)
        runs.append(out / "transfer")
    _say("4/4  the page")
    page = out / "report.html"
    if is_first_rank():
        names = {str(run): run.name for run in runs[:count]}
        make_report(runs, out=page, title="Adapted to your photos", lead=sentences, names=names)
        _say("\n".join(sentences))
    return page


def _ahead(settings: AdaptRecipe, grid: GridRecipe) -> str:
    """How many transfers follow the pretraining: they are most of the work, by the defaults."""
    weights = 1 + settings.pretrainings + settings.fresh
    cells = weights * len(grid.amounts) * settings.seeds
    steps = getattr(grid.task, "steps", None)
    each = "" if steps is None else f" of {counted(steps, 'update')} each"
    return (
        f"after pretraining come {counted(cells, 'transfer')}{each}: {weights} weights x "
        f"{counted(len(grid.amounts), 'number')} of labels x {counted(settings.seeds, 'seed')}"
    )


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


def _check(plan: PretrainRecipe, grid: GridRecipe | None) -> None:
    """Finds now, not after hours, what is wrong with photos, weights or labelled data."""
    start, _ = open_start(plan)
    photos = open_photos(plan.images, start.encoder.in_channels)
    if grid is not None:
        check_transfer(grid.model_copy(update={"encoder": start.encoder}))
    if plan.steps != 0:
        try:
            steps_per_epoch(len(photos), plan.batch_size)
        except BatchTooLarge as error:
            raise BatchTooLarge(
                f"{error}".replace("batch_size=", "pretrain.batch_size=")
            ) from error


def _masks(settings: AdaptRecipe) -> MasksRecipe:
    places = {"images": settings.images, "out": str(Path(settings.out) / "masks")}
    return load_recipe(MasksRecipe, settings.masks, places)


def _pretraining(settings: AdaptRecipe) -> PretrainRecipe:
    """The recipe of the pretraining: photos, masks, weights and folder are set here."""
    out = Path(settings.out)
    recipe, own = _parts(settings.pretrain, "adapt")
    own |= {"images": settings.images, "out": str(out / "adapted"), "seed": settings.seed}
    own["weights"] = settings.weights
    plan = load_recipe(PretrainRecipe, recipe, own, part="pretrain")
    if not isinstance(plan.method, WithMasks) or plan.discovery is not None:
        return plan
    if Path(settings.masks).is_dir():
        MaskStore(settings.masks)  # a folder that is none is found now
        return plan.model_copy(update={"masks": settings.masks})
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
