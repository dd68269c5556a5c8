"""Plans a study: its cells with their seconds, estimated from finished cells."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from detcon.downstream.recipe import task_name
from detcon.study.cell import Cell
from detcon.study.recipe import StudyRecipe
from detcon.study.records import Record
from detcon.train.limit import SECONDS_AN_HOUR


@dataclass(frozen=True)
class Cost:
    """The seconds of one cell: measured where it `is_done`, else estimated.

    `pretrain` is 0 where an earlier cell of the plan has the same pretraining.
    """

    cell: Cell
    pretrain: float
    transfer: float
    is_done: bool

    @property
    def seconds(self) -> float:
        """Of pretraining and transfer."""
        return self.pretrain + self.transfer


def costs(study: StudyRecipe, cells: Sequence[Cell], done: Mapping[str, Record]) -> list[Cost]:
    """The seconds of each cell.

    A pretraining is expected to cost in proportion to its pairs and their pixels, as the finished
    ones of its method and encoder do (the median), else as all finished ones, else as the study
    says. A transfer costs what finished ones of the same task and labels do.
    """
    smallest = min((_side(cell) for cell in cells if cell.pairs), default=1)
    guess = 1 / (study.cost.pairs_a_second * smallest**2)
    finished = [(cell, done[cell.fingerprint]) for cell in cells if cell.fingerprint in done]
    speeds = [(_network(c), r.seconds["pretrain"] / _work(c)) for c, r in finished if c.pairs]
    transfers = [(_task(c), r.seconds["transfer"]) for c, r in finished]
    found, seen = [], set()
    for cell in cells:
        record = done.get(cell.fingerprint)
        measured = record.seconds if record else {}
        transfer = measured.get("transfer")
        if transfer is None:
            transfer = _typical(transfers, _task(cell), study.cost.transfer_seconds)
        pretrain = 0.0
        if cell.pretraining not in seen and cell.pairs:
            pretrain = measured.get("pretrain") or (
                _typical(speeds, _network(cell), guess) * _work(cell)
            )
            seen.add(cell.pretraining)
        found.append(Cost(cell, pretrain, transfer, record is not None))
    return found


def undisturbed_seconds(cells: Sequence[Cell], done: Mapping[str, Record]) -> dict[str, float]:
    """The seconds of each finished cell's pretraining, by fingerprint, at its kind's best speed.

    That is the speed of the fastest run of its method, encoder and view size: others may have been
    stopped, or have shared their machine. 0 where there is no pretraining.
    """
    finished = [cell for cell in cells if cell.fingerprint in done]
    best: dict[Hashable, float] = {}  # seconds a pair of views
    for cell in finished:
        if cell.pairs:
            speed = done[cell.fingerprint].seconds["pretrain"] / cell.pairs
            best[_kind(cell)] = min(speed, best.get(_kind(cell), speed))
    return {
        cell.fingerprint: cell.pairs * best[_kind(cell)] if cell.pairs else 0.0 for cell in finished
    }


def print_plan(study: StudyRecipe, cells: Sequence[Cell], done: Mapping[str, Record]) -> None:
    """Prints the cells with their seconds, and the hours of all."""
    found = costs(study, cells, done)
    rows = [("cell", "pretrain, s", "transfer, s", "")]
    for cost in found:
        seconds = f"{cost.pretrain:.0f}", f"{cost.transfer:.0f}"
        rows.append((cost.cell.name, *seconds, "done" if cost.is_done else ""))
    longest = max(len(name) for name, *_ in rows)
    for name, pretrain, transfer, state in rows:
        print(f"{name:<{longest}}  {pretrain:>11}  {transfer:>11}  {state}".rstrip())
    print(in_all(study.name, found))


def in_all(name: str, found: Sequence[Cost]) -> str:
    """The sum below a plan: cells, pretrainings, and hours in all and left."""
    left = [cost for cost in found if not cost.is_done]
    runs = {cost.cell.pretraining for cost in found} - {None}
    hours, still = (sum(c.seconds for c in some) / SECONDS_AN_HOUR for some in (found, left))
    longest = max(cost.seconds for cost in found) / 60
    return (
        f"study {name}: {len(found)} cells on {len(runs)} pretrainings, {hours:.1f} hours; "
        f"{len(left)} cells and {still:.1f} hours are left; the longest cell takes "
        f"{longest:.1f} minutes"
    )


def _typical(measured: Iterable[tuple[Hashable, float]], kind: Hashable, guess: float) -> float:
    """The median of the values of a kind; else of all; else a guess."""
    values = list(measured)
    same = [value for other, value in values if other == kind]
    return median(same or [value for _, value in values] or [guess])


def _work(cell: Cell) -> float:
    return float(cell.pairs * _side(cell) ** 2)


def _side(cell: Cell) -> int:
    """Of a view or crop, in pixels."""
    if cell.settings.pretrain:
        return cell.settings.pretrain.views.size
    crop = getattr(cell.settings.supervise and cell.settings.supervise.task, "crop", 0)
    return crop if isinstance(crop, int) else max(crop)


def _network(cell: Cell) -> Hashable:
    pretrain, supervise = cell.settings.pretrain, cell.settings.supervise
    if pretrain is None:
        return ("supervised", supervise.encoder) if supervise else None
    return pretrain.method.kind, pretrain.encoder


def _kind(cell: Cell) -> Hashable:
    """What decides how long a pair of views takes."""
    pretrain = cell.settings.pretrain
    return _network(cell), _side(cell), pretrain and pretrain.discovery is not None


def _task(cell: Cell) -> tuple[Any, ...]:
    return task_name(cell.settings.transfer.task), cell.settings.transfer.labels
