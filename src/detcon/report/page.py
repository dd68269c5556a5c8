"""Makes one self-contained HTML page of run folders."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detcon.config import load_recipe
from detcon.files import write_whole
from detcon.report.compare import Comparison, compare, label_words, summarise, tell_apart
from detcon.report.data_panels import mask_panels, view_panels
from detcon.report.features import feature_panel
from detcon.report.figures import Look, looks
from detcon.report.output import check_output, render
from detcon.report.plots import COLLAPSE, LOSS, LegendEntry, plot_quantities
from detcon.report.predictions import prediction_panels
from detcon.report.recipe import ReportRecipe
from detcon.report.runs import Pretraining, Runs, Transfer, gather_runs
from detcon.report.tables import make_table, make_tiles

OF_PRETRAINING = (
    ("masks", "Masks"), ("views", "Views"), ("loss", "Loss"), ("collapse", "Collapse"),
    ("features", "Features"),
)  # fmt: skip
OF_TRANSFER = ("transfer", "Transfer"), ("predictions", "Predictions")
OF_BOTH = ("recipes", "Recipes"), ("machine", "Machine"), ("commands", "Commands")


@dataclass(frozen=True)
class RecipeText:
    """A complete recipe, to fold out."""

    name: str
    file: str
    text: str


@dataclass(frozen=True)
class Machine:
    """The machine of some runs: names and values."""

    title: str
    entries: tuple[tuple[str, str], ...]


def make_report(
    runs: Iterable[str | Path], out: str | Path = "report.html", **overrides: Any
) -> Path:
    """Makes the page of some runs.

    Args:
        runs: Run folders of `pretrain` and `transfer`, or folders that hold such folders.
        out: The page. A page that was made by us is replaced; any other file is left alone.
        **overrides: The other fields of `ReportRecipe`: `title`, `pictures`, `seed`.

    Returns:
        The page's path.

    Raises:
        RunError: No run in a folder, or a damaged file in a run.
        OutputExists: `out` is a file of another origin.
        RecipeError: An unknown or a wrong setting.
    """
    values = {"runs": [str(run) for run in runs], "out": str(out), **overrides}
    return write_report_page(load_recipe(ReportRecipe, None, values))


def write_report_page(recipe: ReportRecipe) -> Path:
    """Writes the page of a complete recipe, as `make_report` does; returns its path."""
    path = Path(recipe.out)
    check_output(path, suffixes=(".html", ".htm"))
    found = gather_runs(recipe.runs)
    write_whole(path, render_page(found, recipe).encode())
    return path


def render_page(runs: Runs, recipe: ReportRecipe) -> str:
    """The page as text."""
    return render(
        "page.html.j2",
        title=recipe.title,
        has_pretraining=bool(runs.pretrainings),
        has_transfer=bool(runs.transfers),
        contents=(
            *(OF_PRETRAINING if runs.pretrainings else ()),
            *(OF_TRANSFER if runs.transfers else ()),
            *OF_BOTH,
        ),
        **_of_pretraining(runs, recipe),
        **_of_transfer(runs, recipe),
        **_of_making(runs, recipe),
    )


def _of_pretraining(runs: Runs, recipe: ReportRecipe) -> dict[str, Any]:
    """Values for the sections from masks to features."""
    pretrainings, styles = runs.pretrainings, _looks(runs)
    losses = plot_quantities(pretrainings, styles, LOSS)
    collapse = plot_quantities(pretrainings, styles, COLLAPSE)
    missing = "No pretraining run of this page has logged any of these figures."
    return {
        "masks": mask_panels(pretrainings, recipe.pictures),
        "views": view_panels(pretrainings, max(1, recipe.pictures // 2), recipe.seed),
        "features": feature_panel(pretrainings, recipe.pictures),
        "run_legend": [
            LegendEntry(run.name, styles[run.name].colour, styles[run.name].dash)
            for run in pretrainings
        ],
        "losses": losses,
        "losses_notes": [] if losses else [missing],
        "collapse": collapse,
        "collapse_notes": [] if collapse else [missing],
    }


def _of_transfer(runs: Runs, recipe: ReportRecipe) -> dict[str, Any]:
    """Values for the summary and the sections of transfer."""
    outcomes, styles = tell_apart(runs.outcomes), _looks(runs)
    comparisons = compare(outcomes)
    panels = prediction_panels(outcomes, recipe.pictures)
    return {
        "sentences": summarise(runs.pretrainings, comparisons),
        "tiles": make_tiles(comparisons[0], styles) if comparisons else [],
        "tiles_caption": _tiles_caption(comparisons[0]) if comparisons else "",
        "tables": [make_table(comparison, outcomes, styles) for comparison in comparisons],
        "predictions": panels,
        "predictions_notes": [] if panels else ["No transfer run has saved predictions."],
    }


def _tiles_caption(comparison: Comparison) -> str:
    what = f"{comparison.task.capitalize()} with {label_words(comparison.amounts[0])}"
    return f"{what}: mean ± standard deviation over seeds, best first."


def _of_making(runs: Runs, recipe: ReportRecipe) -> dict[str, Any]:
    """Values for the sections of recipes, machine and commands."""
    every: list[tuple[str, Pretraining | Transfer]] = [(r.name, r) for r in runs.pretrainings]
    every += [(_transfer_name(transfer), transfer) for transfer in runs.transfers]
    recipes = [
        RecipeText(name, str(run.saved.file), run.saved.text)
        for name, run in every
        if run.saved is not None
    ]
    machines = _machines([(name, run.environment) for name, run in every])
    missing = [str(run.folder) for _, run in every if run.saved is None]
    return {
        "recipes": recipes,
        "recipes_notes": [f"There is no recipe.yaml in {', '.join(missing)}."] if missing else [],
        "machines": machines,
        "machine_notes": [] if machines else ["No run of this page has an environment.json."],
        "commands": "\n".join(_commands(runs, recipe)),
    }


def _transfer_name(transfer: Transfer) -> str:
    tasks = dict.fromkeys(outcome.task for outcome in transfer.outcomes)
    backbones = dict.fromkeys(outcome.backbone for outcome in transfer.outcomes)
    return f"{', '.join(tasks)} from {', '.join(backbones)}"


def _looks(runs: Runs) -> dict[str, Look]:
    names = [run.name for run in runs.pretrainings]
    return looks([*names, *(outcome.backbone for outcome in tell_apart(runs.outcomes))])


_NOT_THE_MACHINE = ("command", "fingerprint", "started", "opened", "finished")


def _machines(environments: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Machine]:
    """One list for all runs that ran on the same; the runs are named where there are several."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, environment in environments:
        entries = tuple(_flat(environment))
        if entries:
            groups.setdefault(entries, []).append(name)
    titled = len(groups) > 1
    return [Machine("; ".join(n) if titled else "", entries) for entries, n in groups.items()]


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
