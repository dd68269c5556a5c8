"""The run folder: what a run was told, on what it ran, and every figure it logged.

runs/NAME/recipe.yaml · environment.json · metrics.jsonl · events.* · checkpoints/last.ckpt,
and where there is reason to: unreadable.jsonl · checkpoints/step-*.ckpt, nonfinite.ckpt
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from detcon.config import Recipe, fingerprint, to_yaml
from detcon.files import is_partial, write_whole
from detcon.train.environment import describe_environment, is_first_rank

# Settings that change how a run is watched or how fast it goes, but not what comes out.
FREE = (
    "out", "workers", "max_unreadable", "log_every", "checkpoint_every", "checkpoint_minutes",
    "keep", "wandb", "probing",
)  # fmt: skip
# Settings of later versions, and the value at which they count as not set: so that the
# fingerprints of what was made before stay.
LATER = {"discovery": None}
LAST = Path("checkpoints") / "last.ckpt"


class RunError(ValueError):
    """A folder that this run cannot be written to."""


@dataclass(frozen=True)
class Run:
    """An open run folder.

    Attributes:
        folder: Where it is.
        finished: The recipe was already carried out here, to the end; there is nothing to do.
        resumes: A checkpoint is there, to go on from.
    """

    folder: Path
    finished: bool = False
    resumes: bool = False

    @property
    def message(self) -> str:
        """What the user should know of the folder's state; "" for a new one."""
        if self.finished:
            return f"{self.folder} holds this run, finished; give another out= to make it again"
        return f"going on with the run in {self.folder}" if self.resumes else ""

    def finish(self) -> None:
        """Records that everything was written. Called last."""
        if is_first_rank():
            path = self.folder / "environment.json"
            environment = _read_json(path) | {"finished": _now()}
            write_whole(path, json.dumps(environment, indent=1))


def open_run(folder: str | Path, recipe: Recipe, *, command: str = "") -> Run:
    """Makes a run folder, or checks that the one there holds a run of the same recipe.

    Only the first rank writes; the others trust it.

    Args:
        folder: May exist, if it is empty or holds this run.
        recipe: The complete recipe; saved as `recipe.yaml`.
        command: What was typed, for `environment.json`; taken from the process if empty.

    Raises:
        RunError: If the folder is a file, holds something else, or a run of another recipe: then
            the sentence names the settings that differ. `FREE` settings may differ.
    """
    folder = Path(folder)
    if not is_first_rank():
        finished = bool(_read_json(folder / "environment.json").get("finished"))
        return Run(folder, finished=finished, resumes=(folder / LAST).is_file())
    if _check(folder, recipe):
        write_whole(folder / "recipe.yaml", to_yaml(recipe))
    before = _read_json(folder / "environment.json")
    environment = describe_environment(command) | {
        "fingerprint": recorded_fingerprint(folder),
        "started": before.get("started") or _now(),
        "opened": _now(),
        "finished": before.get("finished"),
    }
    write_whole(folder / "environment.json", json.dumps(environment, indent=1))
    resumes = (folder / LAST).is_file()
    return Run(folder, finished=bool(environment["finished"]), resumes=resumes)


def recorded_fingerprint(folder: Path) -> str:
    """Twelve digits of `recipe.yaml` without the free settings; "" where there is none."""
    if not (folder / "recipe.yaml").is_file():
        return ""
    return fingerprint(_recorded_settings(folder))


def _check(folder: Path, recipe: Recipe) -> bool:
    """Whether to write the recipe: not over that of an earlier version, which knew fewer settings.

    Those count as their defaults there, if the recipe of that time can still be read; it stays as
    it was, and with it the fingerprint that its checkpoints carry.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"cannot write a run to {folder}: it is a file; give another out=")
    if not folder.is_dir() or all(is_partial(path) for path in folder.iterdir()):
        return True
    if not (folder / "recipe.yaml").is_file():
        raise RunError(
            f"{folder} exists and holds no run (no recipe.yaml); give another out=, "
            f"or an empty folder"
        )
    recorded = _recorded_settings(folder)
    now = deciding_settings(recipe.model_dump(mode="json"))
    there = recorded if recorded.keys() >= now.keys() else _filled_up(folder, recipe) or recorded
    differences = [
        f"{name} is {there.get(name, 'not set')} there and {now.get(name, 'not set')} now"
        for name in {**there, **now}
        if there.get(name) != now.get(name)
    ]
    if differences:
        raise RunError(
            f"{folder} holds a run of another recipe: {', '.join(differences)}; "
            f"give another out=, the old settings, or remove the folder"
        )
    return recorded.keys() >= now.keys()


def _filled_up(folder: Path, recipe: Recipe) -> dict[str, Any] | None:
    """The recorded settings with today's defaults for what they lack; None if they don't fit."""
    values = yaml.safe_load((folder / "recipe.yaml").read_text("utf-8"))
    try:
        return deciding_settings(type(recipe).model_validate(values).model_dump(mode="json"))
    except ValidationError:
        return None


def _recorded_settings(folder: Path) -> dict[str, Any]:
    path = folder / "recipe.yaml"
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        values = None
    if not isinstance(values, dict):
        raise RunError(f"cannot read {path} as a recipe; give another out=, or remove the folder")
    return deciding_settings(values)


def deciding_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted name, without those of `FREE`: two runs that agree in them end alike.

    Those of `LATER` are left out where they say nothing.
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if name in FREE or (name in LATER and value == LATER[name]):
            continue
        if isinstance(value, Mapping):
            flat |= deciding_settings(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
