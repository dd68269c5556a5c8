"""Makes one self-contained HTML page of run folders."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detcon.config import load_recipe
from detcon.files import write_whole
from detcon.notes import counted
from detcon.progress import with_progress
from detcon.report.compare import compare, describe, introduce, listed, tell_apart
from detcon.report.data_panels import mask_panels, view_panels
from detcon.report.features import feature_panel
from detcon.report.figures import Look, looks
from detcon.report.output import check_output, render
from detcon.report.plots import COLLAPSE, LOSS, QUALITY, plot_quantities
from detcon.report.predictions import prediction_panels
from detcon.report.recipe import ReportRecipe
from detcon.report.runs import Pretraining, Runs, Transfer, gather_runs
from detcon.report.tables import make_table
from detcon.report.times import plot_times
from detcon.results.difference import label_words

OF_PRETRAINING = (
    ("masks", "Masks"), ("views", "Views"), ("loss", "Loss"), ("quality", "Encoder"),
    ("collapse", "Collapse"),
    ("features", "Features"),
)  # fmt: skip
OF_TRANSFER = ("transfer", "Transfer"), ("predictions", "Predictions")
OF_BOTH = ("recipes", "Recipes"), ("machine", "Machine"), ("commands", "Commands")
_NOT_THE_MACHINE = ("command", "fingerprint", "started", "opened", "finished")


def make_report(
    runs: Iterable[str | Path], out: str | Path = "report.html", **overrides: Any
) -> Path:
    """Makes one HTML page of run folders.

    Args:
        runs: Run folders of `pretrain` and `transfer`, or folders that hold such folders.
        out: The page. A page that was made by detcon is replaced; any other file is left alone.
        **overrides: The other fields of `ReportRecipe`: `title`, `lead`, `names`, `pictures`,
            `seed`.

    Returns:
        The page's path.

    Raises:
        RunError: No run in a folder, or a damaged file in a run.
        OutputExists: `out` is a file that detcon didn't make.
        RecipeError: An unknown or a wrong setting.
    """
    values = {"runs": [str(run) for run in runs], "out": str(out), **overrides}
    return write_report_page(load_recipe(ReportRecipe, None, values))


def write_report_page(recipe: ReportRecipe) -> Path:
    """Writes the page of a complete recipe, as `make_report` does; returns its path."""
    path = Path(recipe.out)
    check_output(path, suffixes=(".html", ".htm"))
    runs = gather_runs(recipe.runs, recipe.names)
    outcomes = tell_apart(runs.outcomes)
    styles = looks([run.name for run in runs.pretrainings] + [one.backbone for one in outcomes])
    comparisons = compare(outcomes)
    pretraining = _of_pretraining(runs.pretrainings, styles, recipe) if runs.pretrainings else {}
    without = () if pretraining.get("quality") else ("quality",)
    results = [describe(one, n, runs.baseline) for one in comparisons for n in one.amounts]
    if recipe.lead:  # that is the page's answer, maybe to another question
        results = []
    page = render(
        "page.html.j2",
        title=_title(runs) if recipe.title is None else recipe.title,
        contents=(
            *(one for one in OF_PRETRAINING if pretraining and one[0] not in without),
            *(OF_TRANSFER if runs.transfers else ()),
            *OF_BOTH,
        ),
        looks=styles,
        has_answer=bool(recipe.lead),
        sentences=[*recipe.lead, introduce(runs.pretrainings, comparisons), *results],
        tables=[make_table(comparison, outcomes, styles) for comparison in comparisons],
        counted=counted,
        label_words=label_words,
        **pretraining,
        **({"predictions": prediction_panels(outcomes, recipe.pictures)} if runs.transfers else {}),
        **_of_making(runs, recipe),
    )
    write_whole(path, page)
    return path


def _title(runs: Runs) -> str:
    """What the page holds: `Pretraining and transfer to detection`."""
    tasks = listed(list(dict.fromkeys(outcome.task for outcome in runs.outcomes)))
    if not tasks:
        return f"Pretraining: {listed([run.name for run in runs.pretrainings])}"
    return f"{'Pretraining and transfer' if runs.pretrainings else 'Transfer'} to {tasks}"


def _of_pretraining(
    runs: Sequence[Pretraining], styles: Mapping[str, Look], recipe: ReportRecipe
) -> dict[str, Any]:
    """Values for the sections from masks to features."""
    parts: dict[str, Callable[[], Any]] = {
        "masks": lambda: mask_panels(runs, recipe.pictures),
        "views": lambda: view_panels(runs, max(1, recipe.pictures // 2), recipe.seed),
        "features": lambda: feature_panel(runs, recipe.pictures),
        "losses": lambda: [*plot_quantities(runs, styles, LOSS), *plot_times(runs)],
        "quality": lambda: plot_quantities(runs, styles, QUALITY),
        "collapse": lambda: plot_quantities(runs, styles, COLLAPSE),
    }
    each = with_progress(parts.items(), "page", len(parts), words="parts", transient=True)
    made = {name: make() for name, make in each}
    return made | {"run_looks": {run.name: styles[run.name] for run in runs}}


def _of_making(runs: Runs, recipe: ReportRecipe) -> dict[str, Any]:
    """Values for the sections of recipes, machine and commands."""
    every: list[tuple[str, Pretraining | Transfer]] = [(r.name, r) for r in runs.pretrainings]
    every += [(_transfer_name(transfer), transfer) for transfer in runs.transfers]
    machines: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, run in every:
        if entries := tuple(_flat(run.environment)):
            machines.setdefault(entries, []).append(name)
    return {
        "runs": every,
        "without_recipe": [str(run.folder) for _, run in every if run.saved is None],
        "machines": machines,
        "commands": list(_commands(runs, recipe)),
    }


def _transfer_name(transfer: Transfer) -> str:
    tasks = dict.fromkeys(outcome.task for outcome in transfer.outcomes)
    backbones = dict.fromkeys(outcome.backbone for outcome in transfer.outcomes)
    return f"{', '.join(tasks)} from {', '.join(backbones)}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, "" if name == "versions" else f"{name} ")
        elif value is not None and (prefix or name not in _NOT_THE_MACHINE):
            yield f"{prefix}{name}", str(value)


def _commands(runs: Runs, recipe: ReportRecipe) -> Iterable[str]:
    """Commands: as typed, in a comment, and the same with the saved recipe."""
    for verb, every in (("pretrain", runs.pretrainings), ("transfer", runs.transfers)):
        for run in every:
            typed = str(run.environment.get("command") or "").strip()
            if typed:
                yield f"# typed: {typed}"
            if run.saved is not None:
                more = [f"seeds={len(run.outcomes)}"] if isinstance(run, Transfer) else []
                yield shlex.join(["detcon", verb, str(run.saved.file), *more, "out=NEW"])
    yield shlex.join(["detcon", "report", *recipe.runs, f"out={recipe.out}"])
