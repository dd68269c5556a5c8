"""`detcon study`: runs, plans or reports a study."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detcon.config import Recipe, load_recipe, shown
from detcon.study.arranged import check_figure
from detcon.study.cell import make_cells
from detcon.study.plan import print_plan
from detcon.study.recipe import Folder, StudyRecipe
from detcon.study.records import find_records
from detcon.study.report import write_report
from detcon.study.running import run_cells, share_of

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
    done = find_records(Path(study.results_file), cells)
    if study.plan:
        print_plan(study, share_of(cells, study.shard), done)
        return None
    if study.report:
        return write_report(study, cells, done)
    run_cells(study, share_of(cells, study.shard), done, _command(study, words))
    return Path(study.results_file)


def _command(study: StudyRecipe, words: Sequence[str]) -> str:
    """The command that repeats these results on another machine, without paths of this one."""
    folders = [f"data.{name}" for name, data in study.data.items() if isinstance(data, Folder)]
    left_out = (*OF_THIS_TIME, *folders, "data")
    recipes = [Path(w).name if Path(w).is_absolute() else w for w in words if "=" not in w]
    kept = [w for w in words if "=" in w and w.partition("=")[0] not in left_out]
    return shlex.join(["detcon", "study", *recipes, *(f"{name}=DIR" for name in folders), *kept])
