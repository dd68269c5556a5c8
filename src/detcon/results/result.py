"""The result of one transfer run (`result.json`), and how its figures are written as text."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from detcon.files import write_whole
from detcon.results import RunError
from detcon.results.lines import parse_object

RESULT = "result.json"

_OWN = {"rms": ("m", 3), "relative": ("", 3), "log10": ("", 4)}
"""Unit and digits of figures whose unit is not that of the main metric."""


@dataclass(frozen=True)
class Result:
    """The result of a backbone on a task, with everything needed to repeat it.

    Attributes:
        metric: The main metric, such as `mIoU`.
        unit: Of `value` and `per_class`: `%` or `m`.
        seed: Of the labelled subset, the order of the pictures and the fresh weights.
        steps: Updates of the network; iterations of the solver of a linear probe; 0 for k-NN.
        labels: How many labelled pictures were used; None for all.
        backbone: The file, "torchvision:resnet50" or "random".
        recipe: The fingerprint of the complete recipe, `recipe.yaml` in the same folder.
        seconds: Training and validation, without the time in which the run was stopped.
        per_class: The metric by class; None for a class that occurs nowhere.
        figures: Further metrics, by name.
        num_photos: The validation photos that the figures are of; None in older files.
        val_photos: How many of them were drawn to score on; None: all.
    """

    task: str
    metric: str
    unit: str
    value: float
    seed: int
    steps: int
    labels: int | None
    backbone: str
    backbone_sha256: str | None
    recipe: str
    versions: dict[str, Any]
    seconds: float
    per_class: dict[str, float | None]
    figures: dict[str, float | None] = field(default_factory=dict)
    num_photos: int | None = None
    val_photos: int | None = None


def write_result(folder: Path, result: Result) -> None:
    """Writes `result.json`."""
    write_whole(folder / RESULT, json.dumps(asdict(result), indent=1) + "\n")


def read_result(folder: Path) -> Result:
    """Reads `result.json`; names that a later version added are skipped.

    Raises:
        RunError: The file is missing, damaged or incomplete.
    """
    path = folder / RESULT
    remedy = f"restore it, or remove the folder {folder} to make it again"
    values = parse_object(path, remedy)
    values = {
        "figures": {},
        "num_photos": None,
        "val_photos": None,
        **values,
    }  # older files have none
    for name in (part.name for part in fields(Result)):
        if name not in values:
            raise RunError(f"{path} has no '{name}'; was it written by detcon transfer? {remedy}")
    if not isinstance(values["value"], int | float):
        raise RunError(f"{path}: 'value' must be a number, not {values['value']!r}; {remedy}")
    return Result(**{part.name: values[part.name] for part in fields(Result)})


def unit_of(figure: str, unit: str) -> str:
    """The unit of a figure, such as `rms`; `unit` is that of the result's main metric."""
    return _OWN[figure][0] if figure in _OWN else unit


def written(value: float, figure: str, unit: str) -> str:
    """A figure as text, without its unit; `unit` is that of the result's main metric.

    >>> written(0.5731, "rms", "%"), written(0.0587, "log10", "%"), written(81.13, "delta1", "%")
    ('0.573', '0.0587', '81.1')
    """
    digits = _OWN[figure][1] if figure in _OWN else 1 if unit == "%" else 3
    return f"{value:.{digits}f}"
