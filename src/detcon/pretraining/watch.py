"""Follows the probe of a pretraining: the best backbone, falls below the start, a plateau."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from detcon.results.history import read_history
from detcon.train.plan import Finding


@dataclass(frozen=True)
class Watch:
    """Judges each probe by those before it. They are in the log, so a resumed run judges alike.

    Attributes:
        folder: The run folder.
        save: Keeps the encoder, if it is the best so far; gets the step and the figure.
        patience: Probes without a new best after which the run ends; None: it never ends early.
    """

    folder: Path
    save: Callable[[int, Mapping[str, float]], None]
    patience: int | None = None

    def judge(self, step: int, figures: Mapping[str, float]) -> Finding:
        """Keeps the best; reports a first fall below the start, and a plateau."""
        [(name, value)] = figures.items()
        before = self._before(name)
        if value > max(before.values(), default=-math.inf):
            self.save(step, figures)
            return Finding()
        best = max(before, key=before.__getitem__)
        start, last = before.get(0), before[max(before)]
        falls = start is not None and value < start <= last
        stop = self._is_plateau([*before, step], best)
        if not falls and not stop:
            return Finding()
        parts = [f"step {step}: {name} is {value:.1f}"]
        parts[0] += f", below the start ({start:.1f})" if falls else ""
        parts += [f"backbone_best.safetensors is of step {best} ({before[best]:.1f})"]
        parts += [f"no better probe in the last {self.patience}: the run ends"] if stop else []
        return Finding("; ".join(parts), stop)

    def is_over(self) -> bool:
        """Whether the log shows a plateau already, as after a run that was killed there."""
        rows = read_history(self.folder).rows
        names = {name for row in rows for name in row if name.startswith("probe_")}
        probes = [self._before(name) for name in names - {"probe_seconds"}]
        return any(self._is_plateau(list(one), max(one, key=one.__getitem__)) for one in probes)

    def _is_plateau(self, steps: list[int], best: int) -> bool:
        return self.patience is not None and sum(step > best for step in steps) >= self.patience

    def _before(self, name: str) -> dict[int, float]:
        return dict(zip(*read_history(self.folder).curve(name), strict=True))
