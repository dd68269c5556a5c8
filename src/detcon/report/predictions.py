"""Panels of predictions: photo, truth, and the prediction of each backbone."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detcon.formats.segments import VOID
from detcon.palette import class_colours, depth_colours
from detcon.photos import decode
from detcon.report.draw import data_uri
from detcon.report.panels import Panel, Picture
from detcon.report.runs import Outcome
from detcon.results.difference import RANDOM, label_words
from detcon.results.result import RESULT, Result

MOST_BACKBONES = 5
_UNNAMED = re.compile(r"class \d+")
METRES = (0.5, 1, 2, 4, 8, 16, 32)
"""Depths in the legend of colours."""


def prediction_panels(outcomes: Sequence[Outcome], num: int) -> list[Panel]:
    """One panel a task: the fewest labels, the first seed of each backbone."""
    panels = []
    for task in dict.fromkeys(outcome.task for outcome in outcomes):
        found = [o for o in outcomes if o.task == task and o.predictions]
        if found:
            fewest = min(found, key=lambda o: o.result.labels or math.inf).result.labels
            first: dict[str, Outcome] = {}
            for outcome in sorted(found, key=lambda o: o.result.seed):
                if outcome.result.labels == fewest:
                    first.setdefault(outcome.backbone, outcome)
            panels.append(_panel(task, list(first.values()), num))
    return panels


def _panel(task: str, outcomes: Sequence[Outcome], num: int) -> Panel:
    random = [outcome for outcome in outcomes if outcome.backbone == RANDOM]
    trained = [outcome for outcome in outcomes if outcome.backbone != RANDOM]
    outcomes = trained[: MOST_BACKBONES - len(random)] + random
    strips = [{path.name: path for path in outcome.predictions} for outcome in outcomes]
    result = outcomes[0].result
    names = [name for name in strips[0] if all(name in other for other in strips)][:num]
    pictures = []
    try:
        truths = [_read_strip(strips[0][name])[1] for name in names]
        for name in names:
            pictures += _row(Path(name).stem, [other[name] for other in strips], outcomes)
    except (OSError, ValueError) as error:
        return Panel(title=task, notes=(str(error),))
    caption = (
        f"Photos of the validation set, the truth, and what the network predicts after training "
        f"with {label_words(result.labels)} (seed {result.seed}) from each backbone."
    )
    unnamed = result.per_class and all(map(_UNNAMED.fullmatch, result.per_class))
    if unnamed and result.task != "detection":
        caption += (
            " The classes have no names, and are those whose numbers are in the labels; one that "
            "means void counts as a class, unless task.ignore= or classes.json says so."
        )
    return Panel(
        title=task,
        columns=2 + len(outcomes),
        pictures=tuple(pictures),
        caption=caption,
        classes=_classes(result, truths),
    )


def _row(name: str, paths: Sequence[Path], outcomes: Sequence[Outcome]) -> list[Picture]:
    """Photo and truth from the first strip, then each backbone's own prediction."""
    strips = [_read_strip(path) for path in paths]
    photo, truth, _ = strips[0]
    row = [
        Picture(data_uri(photo), name, f"photo {name}"),
        Picture(data_uri(truth, photo=False), "truth", f"truth of {name}"),
    ]
    for (_, _, prediction), outcome in zip(strips, outcomes):
        who = outcome.backbone
        is_probe = outcome.result.task.startswith(("linear_", "knn_"))  # nothing else learns
        how = "probe of" if is_probe else "trained from"
        trained = f"{how} {who}" if who.startswith(RANDOM) else who
        alt = f"prediction of {trained} for {name}"
        row.append(Picture(data_uri(prediction, photo=False), trained, alt))
    return row


def _read_strip(path: Path) -> list[np.ndarray]:
    """Photo, truth and prediction, each [y x 3], out of the strip that a transfer run saved."""
    strip = decode(path.read_bytes(), str(path))
    if strip.shape[1] % 3:
        raise ValueError(
            f"{path} is not a strip of photo, truth and prediction; remove "
            f"{path.parents[1] / RESULT}, and give the command of the transfer again"
        )
    return np.split(strip, 3, axis=1)


def _has_void(truth: np.ndarray) -> bool:
    return bool((truth == class_colours()[VOID]).all(-1).any())


def _classes(result: Result, truths: Sequence[np.ndarray]) -> dict[str, str]:
    """What the colours of the strips mean: classes in order of their ids, or metres.

    Empty for more classes than colours, as of whole photos: then the strips have names in them.
    """
    if result.task == "depth":
        colours = depth_colours(np.array([[*METRES, np.nan]]))[0]
        names = [*(f"{metres:g} m" for metres in METRES), "not measured"]
    elif 0 < len(result.per_class) <= VOID:
        palette = class_colours()
        colours = [*palette[: len(result.per_class)], palette[VOID]]
        names = list(result.per_class)
        if result.task != "detection" and any(map(_has_void, truths)):  # which draws objects
            names.append("void, not counted")
    else:
        return {}
    return {name: f"#{bytes(colour).hex()}" for name, colour in zip(names, colours)}
