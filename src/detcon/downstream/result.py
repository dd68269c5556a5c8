"""The result of one transfer run (waist 4 of the design): `result.json`."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from detcon.files import write_whole

RESULT = "result.json"


class ResultError(ValueError):
    """A result file that isn't one."""


@dataclass(frozen=True)
class Result:
    """What a backbone reached on a task, and all that is needed to find out how.

    Attributes:
        task: `segmentation`, `detection`, `depth`, ...
        metric: What was measured, `mIoU`.
        unit: Of `value` and `per_class`: `%` or `m`.
        value: The figure.
        seed: Chose the subset of labels, the order of the pictures and the fresh weights.
        steps: Updates of the training; iterations of the solver for a linear probe, 0 for k-NN.
        labels: How many labelled pictures were used; None for all.
        backbone: The file, "torchvision:resnet50" or "random".
        backbone_sha256: Of the file.
        recipe: The fingerprint of the complete recipe, which is `recipe.yaml` beside the result.
        versions: Of the packages that took part.
        seconds: Training and judging, without the times the run stood still.
        per_class: The metric by class; None for a class that occurs nowhere.
        figures: What else was measured, by name.
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


def write_result(folder: Path, result: Result) -> None:
    """Writes `result.json` in one move."""
    write_whole(folder / RESULT, json.dumps(asdict(result), indent=1) + "\n")


def read_result(folder: Path) -> Result:
    """Reads `result.json`; settings that a later version added are passed over.

    Raises:
        ResultError: The file is missing, damaged or incomplete.
    """
    path = folder / RESULT
    try:
        values = json.loads(path.read_text())
        values.setdefault("figures", {})  # files of version 0.1 have none
        return Result(**{part.name: values[part.name] for part in fields(Result)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(
            f"{path} is missing or no result of a transfer ({error}); remove the folder {folder} "
            f"to make it again"
        ) from error
