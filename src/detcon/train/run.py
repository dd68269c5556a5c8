"""The run folder: the recipe of a run, its environment, its log and its checkpoints.

runs/NAME/recipe.yaml · environment.json · metrics.jsonl · events.* · checkpoints/last.ckpt,
and where needed: unreadable.jsonl · checkpoints/step-*.ckpt, nonfinite.ckpt
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detcon.config import Recipe, recorded
from detcon.files import is_partial
from detcon.results import RunError
from detcon.results.environment import ENVIRONMENT, read_environment, write_environment
from detcon.results.history import METRICS, read_history
from detcon.results.inputs import INPUTS, Inventory, read_inputs, what_changed, write_inputs
from detcon.results.recipe import (
    RECIPE,
    SavedRecipe,
    deciding_settings,
    differences,
    read_recipe,
    recorded_fingerprint,
    write_recipe,
)
from detcon.train.environment import describe_environment, is_first_rank
from detcon.train.finite import NONFINITE
from detcon.train.metrics import ID_FILE
from detcon.train.unreadable import FILE as UNREADABLE

LAST = Path("checkpoints") / "last.ckpt"


@dataclass(frozen=True)
class Run:
    """An open run folder; a finished run leaves nothing to do.

    Attributes:
        folder: The folder.
        finished: Whether everything was written.
        began: When the run that is gone on with was begun; "" for a new one.
        environment: Machine, versions and command of this process, on the first rank.
    """

    folder: Path
    finished: bool = False
    began: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)

    def finish(self) -> None:
        """Records that everything was written. Called last."""
        if is_first_rank():
            write_environment(self.folder, {**self.environment, "finished": _now()})


def open_run(
    folder: str | Path,
    recipe: Recipe,
    *,
    command: str = "",
    inputs: Mapping[str, Inventory] | None = None,
    whole: Path | None = None,
) -> Run:
    """Makes a run folder, or checks that the one there holds a run of the same recipe.

    Only the first rank writes; the others trust it. `command` is for `environment.json`, and taken
    from the process if empty; that of a finished run stays as it is until `Run.finish`, or it
    would name a machine that made nothing of it. `inputs` are what the settings of these names
    lead to: they are compared by content, not by their paths, and recorded in `inputs.json`.
    `whole` is the folder of all runs that differ as this one does, which is removed to begin again.

    Raises:
        RunError: If the folder is a file, holds something else, a run of another recipe or of
            other inputs: then the sentence names what differs. `FREE` settings may differ.
    """
    folder = Path(folder)
    if not is_first_rank():
        return Run(folder, finished=bool(read_environment(folder).get("finished")))
    inputs = inputs or {}
    if _check(folder, recipe, inputs, whole or folder):
        write_recipe(folder, recipe)
    if inputs:
        write_inputs(folder, inputs)
    before = read_environment(folder)
    environment = describe_environment(command) | {
        "fingerprint": recorded_fingerprint(folder),
        "started": before.get("started") or _now(),
        "opened": _now(),
        "finished": before.get("finished"),
    }
    if not before.get("finished"):
        write_environment(folder, environment)
    return Run(folder, bool(environment["finished"]), before.get("started", ""), environment)


def _check(folder: Path, recipe: Recipe, inputs: Mapping[str, Inventory], whole: Path) -> bool:
    """Checks a folder; returns whether to write the recipe there.

    A recipe of an earlier version, which had fewer settings, stays as it was, and with it the
    fingerprint of its checkpoints. The missing settings count as defaults.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"cannot write a run to {folder}: it is a file; give another out=")
    found = (
        {path.name for path in folder.iterdir() if not is_partial(path)}
        if folder.is_dir()
        else set()
    )
    if not found:
        return True
    saved = read_recipe(folder)
    if saved is None:
        raise RunError(
            f"{folder} exists and holds no run (no recipe.yaml); give another out=, "
            f"or an empty folder"
        )
    if _learnt_nothing(folder, found):
        _begin_again(folder)  # the last command failed: its advice may be followed
        return True
    recorded = saved.deciding
    now = deciding_settings(recipe.model_dump(mode="json"))
    there = recorded if recorded.keys() >= now.keys() else _filled_up(saved, recipe) or recorded
    moved = {}
    for name, before in read_inputs(folder).items():
        if name not in inputs:  # a run of another kind; its settings differ
            continue
        same_place = there.get(name) == now[name]
        changed = what_changed(before, inputs[name], same_place=same_place)
        if changed and same_place:
            raise RunError(
                f"{name}={now[name]} has changed since {folder} was begun ({changed}); give "
                f"another out=, or remove {whole} to make it again"
            )
        if not changed and not same_place:
            moved[name] = there.get(name)
    if differing := differences(there, now | moved):
        raise RunError(
            f"{folder} holds a run of another recipe: {', '.join(differing[:5])}"
            f"{' and more' if differing[5:] else ''}; "
            f"give another out=, the old settings, or remove {whole}"
        )
    return recorded.keys() >= now.keys() and not moved


def _learnt_nothing(folder: Path, names: Collection[str]) -> bool:
    """Whether a run, which has files of these names, made no step that it could go on from."""
    files = {name for name in names if not name.startswith("events.")}
    checkpoints = {path.name for path in folder.glob("checkpoints/[!.]*")}
    return (
        files <= {RECIPE, ENVIRONMENT, INPUTS, METRICS, UNREADABLE, ID_FILE, LAST.parent.name}
        and checkpoints <= {NONFINITE.name}
        and not read_environment(folder).get("finished")
        and not any(row["step"] > 0 for row in read_history(folder).rows)
    )


def _begin_again(folder: Path) -> None:
    """Removes what a run that learnt nothing left beside its recipe."""
    names = (ENVIRONMENT, METRICS, UNREADABLE, ID_FILE, str(NONFINITE))
    for path in (*(folder / name for name in names), *folder.glob("events.*")):
        path.unlink(missing_ok=True)


def _filled_up(saved: SavedRecipe, recipe: Recipe) -> dict[str, Any] | None:
    """The recorded settings with today's defaults for missing ones; None if they don't fit."""
    try:
        return deciding_settings(recorded(type(recipe), saved.values).model_dump(mode="json"))
    except ValidationError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
