"""The recipe of a run folder: `recipe.yaml`, and which of its settings decide the outcome."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from detcon.config import Recipe, fingerprint, shown, to_yaml
from detcon.files import write_whole
from detcon.results import RunError

RECIPE = "recipe.yaml"
# libyaml's is ten times as fast, where it is there
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

FREE = (
    "out", "workers", "max_unreadable", "log_every", "checkpoint_every", "checkpoint_minutes",
    "keep", "wandb", "probing", "label_free",
)  # fmt: skip
"""Settings that change how a run is logged or how fast it is, but not its outcome."""

LATER = {
    "discovery": None, "project_first": False, "weights": None, "warm_heads": 0, "anchor": 0.0,
    "freeze_norms": False, "encoder_lr": None, "layer_decay": None, "last_num": None,
    "stop": "end", "patience": 5,
    "drop_path": 0.0, "unit": None, "val": None, "val_groups": None,
    "val_photos": None,
}  # fmt: skip
"""Settings of later versions, with the value at which they are left out of fingerprints.

So the fingerprints of older runs stay the same.
"""

COUNTS_AS = {("precision", "auto"): "bf16"}
"""Values of later versions, with the one that they count as in fingerprints.

A run records the precision that it takes; the cells of a study are the same on all machines.
"""


@dataclass(frozen=True)
class SavedRecipe:
    """The recipe of a run: its file, the text in the file, and the settings."""

    file: Path
    text: str
    values: Mapping[str, Any]

    @property
    def deciding(self) -> dict[str, Any]:
        """The settings that decide the outcome, by dotted name."""
        return deciding_settings(self.values)


def read_recipe(folder: Path) -> SavedRecipe | None:
    """Reads `recipe.yaml`; None where there is none.

    Raises:
        RunError: The file is no YAML, or doesn't hold names and values.
    """
    path = folder / RECIPE
    if not path.is_file():
        return None
    remedy = "restore it, give another folder, or remove this one"
    try:
        text = path.read_text("utf-8")
        values = yaml.load(text, Loader=_SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"cannot read {path}: it is not YAML ({reason}); {remedy}") from error
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise RunError(f"cannot read {path}: it holds a {kind}, not a recipe; {remedy}")
    return SavedRecipe(path, text, values)


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Writes the complete recipe."""
    write_whole(folder / RECIPE, to_yaml(recipe))


def recorded_fingerprint(folder: Path) -> str:
    """The fingerprint of the deciding settings in a run folder; "" without a recipe."""
    saved = read_recipe(folder)
    return fingerprint(saved.deciding) if saved else ""


def deciding_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings that decide the outcome, by dotted name: all but `FREE` and unused `LATER`.

    >>> deciding_settings({"steps": 3, "workers": 2, "optimizer": {"lr": 0.1}})
    {'steps': 3, 'optimizer.lr': 0.1}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if name in FREE or (name in LATER and value == LATER[name]):
            continue
        if isinstance(value, Mapping):
            flat |= deciding_settings(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = COUNTS_AS.get((name, str(value)), value)
    return flat


def differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The settings that differ, in words.

    >>> differences({"steps": None}, {"steps": 20, "flip": True})
    ['steps is null there and 20 now', 'flip is not set there and true now']
    """

    def told(settings: Mapping[str, Any], name: str) -> str:
        return shown(settings[name]) if name in settings else "not set"

    return [
        f"{name} is {told(there, name)} there and {told(now, name)} now"
        for name in {**there, **now}
        if there.get(name) != now.get(name)
    ]
