"""Follows a figure of a pretraining: the best backbone, falls below the start, a plateau."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from detcon.downstream.label_free import AGREEMENT
from detcon.results.history import read_history
from detcon.train.plan import Finding

_PROBE = "probe_"
SECONDS = "probe_seconds"  # logged by every measurement
HEALTHY = 0.7
"""Without labels: the share of the start's rank that an encoder in order keeps.

Of 33 adapted from ImageNet's weights those in order had a LiDAR of 81 and more, the two that
broke 12; two that hardly moved, which stand for the start, had 98 and 99
(docs/adapting_measured.md).
"""


@dataclass(frozen=True)
class Watch:
    """Judges each figure by those before it. They are in the log, so a resumed run judges alike.

    Attributes:
        folder: The run folder.
        save: Keeps the encoder, if it is the best so far; gets the step and the figures.
        figure: The one to judge by; None for that of the labelled probe.
        patience: Measurements without a new best after which the run ends; None: it never ends
            early.
    """

    folder: Path
    save: Callable[[int, Mapping[str, float]], None]
    figure: str | None = None
    patience: int | None = None

    def judge(self, step: int, figures: Mapping[str, float]) -> Finding:
        """Keeps the best; reports a first fall below the start, and a plateau.

        Without labels a rank that falls or rises somewhat says nothing of the encoder
        (docs/adapting_measured.md): there a fall is one below `HEALTHY` of the start, and the last
        encoder above that is kept.
        """
        name = self.figure or next(name for name in figures if name.startswith(_PROBE))
        before = self._before(name)
        value = figures.get(name, -math.inf)  # no number: the features are all 0, or infinite
        highest, start = max(before.values(), default=-math.inf), before.get(0)
        by_rank = self.figure is not None and start is not None
        least = -math.inf if start is None else start * (HEALTHY if by_rank else 1)
        if value >= least if by_rank else value > highest:
            self.save(step, figures)
        if value > highest or highest == -math.inf:
            return Finding()
        falls = value < least <= before[max(before)]
        best = max(before, key=before.__getitem__)
        stop = self._is_plateau([*before, step], best)
        if not falls and not stop:
            return Finding()
        parts = [f"step {step}: {name} is {value:.1f}"]
        if value == -math.inf:
            parts = [f"step {step}: the features aren't finite or don't vary, {name} is undefined"]
        if falls:
            parts[0] += f", below {f'{HEALTHY:.0%} of ' if by_rank else ''}the start ({start:.1f})"
        if AGREEMENT in figures:
            parts += [f"regions keep {100 * figures[AGREEMENT]:.0f} % of the start's neighbours"]
        measured = {**before, step: value}
        kept = max(s for s, v in measured.items() if v >= least) if by_rank else best
        parts += [f"backbone_best.safetensors is of step {kept} ({measured[kept]:.1f})"]
        parts += [f"none of the last {self.patience} was better: the run ends"] if stop else []
        return Finding("; ".join(parts), stop)

    def is_over(self) -> bool:
        """Whether the log shows a plateau already, as after a run that was killed there."""
        rows = read_history(self.folder).rows
        names = {name for row in rows for name in row if name.startswith(_PROBE)}
        judged = names - {SECONDS} if self.figure is None else {self.figure}
        probes = [one for one in map(self._before, judged) if one]
        return any(self._is_plateau(list(one), max(one, key=one.__getitem__)) for one in probes)

    def _is_plateau(self, steps: list[int], best: int) -> bool:
        return self.patience is not None and sum(step > best for step in steps) >= self.patience

    def _before(self, name: str) -> dict[int, float]:
        """The figure at each measurement; -inf where it was no number."""
        history = read_history(self.folder)
        found = dict(zip(*history.curve(name), strict=True))
        return {step: found.get(step, -math.inf) for step in history.curve(SECONDS)[0]}
