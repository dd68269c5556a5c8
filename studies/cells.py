"""What studies share: a cell is one pretraining and one transfer, and is kept as one JSON."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import cv2
import numpy as np

from detcon import MaskStore, make_masks
from detcon.downstream.result import Result
from detcon.photos import open_photos

COLUMNS = ("stage", "task", "labels", "method", "masks", "lr", "tuning")


@dataclass(frozen=True)
class Cell:
    """One pretraining and one transfer.

    Attributes:
        stage: Which part of the study.
        method: Of pretraining, or `random`.
        lr: Of pretraining.
        seed: Of pretraining, and of which pictures have labels.
        task: Of transfer.
        labels: Pictures with labels.
        masks: Where the masks come from.
        tuning: The learning rate of fine-tuning; 0 for the transfer recipe's.
    """

    stage: str
    method: str
    lr: float
    seed: int
    task: str
    labels: int
    masks: str
    tuning: float = 0.0

    @property
    def run(self) -> str:
        """The pretraining that the cell stands on."""
        return f"{self.stage}-{self.method}-{self.masks}-lr{self.lr:g}-seed{self.seed}"

    @property
    def name(self) -> str:
        tuning = f"-tuning{self.tuning:g}" if self.tuning else ""
        return f"{self.run}-{self.task}-{self.labels}{tuning}"


PARTS = {
    "stages": "stage",
    "methods": "method",
    "masks": "masks",
    "tasks": "task",
    "labels": "labels",
    "seeds": "seed",
}


def is_wanted(cell: Cell, settings: Mapping[str, Any]) -> bool:
    """Whether a cell is among those that were asked for, as in `methods=[detcon_s] seeds=[0,1]`."""
    return all(getattr(cell, n) in settings.get(s, [getattr(cell, n)]) for s, n in PARTS.items())


def save_cell(folder: Path, cell: Cell, result: Result, command: str, *works: Path) -> None:
    """Writes a cell with its command; paths in it are relative to the work folders."""
    line = {"command": command, "cell": asdict(cell), "result": asdict(result)}
    text = json.dumps(line, indent=1, default=str)
    for work in works:
        text = text.replace(f"{work}/", "")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{cell.name}.json").write_text(text + "\n")
    print(f"{cell.name}: {result.value:.1f} {result.unit}", flush=True)


def print_table(folder: Path) -> None:
    """All cells of a folder, seeds joined, as Markdown."""
    lines = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    rows: dict[tuple, list[float]] = {}
    for line in lines:
        key = tuple(line["cell"].get(name, 0.0) for name in COLUMNS)
        rows.setdefault(key, []).append(line["result"]["value"])
    print(f"| {' | '.join(COLUMNS)} | value | each seed |")
    print("|---" * (len(COLUMNS) + 2) + "|")
    for key, values in sorted(rows.items()):
        spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
        each = ", ".join(f"{v:.1f}" for v in values)
        print(f"| {' | '.join(map(str, key))} | {mean(values):.1f}{spread} | {each} |")


def shuffle_masks(images: Path, store: Path, out: Path, *, inverted: bool = False) -> Path:
    """Gives every photo another photo's masks, or those upside down: the controls."""
    labels = out.parent / f"{out.name}-labels"
    if not out.exists():
        source, keys = MaskStore(store), open_photos(images).keys
        order = np.random.default_rng(0).permutation(len(keys))
        labels.mkdir(parents=True, exist_ok=True)
        for a, b in zip(order, np.roll(order, 1), strict=True):
            given = source[keys[b]].labels.astype(np.uint16)
            name = Path(keys[a]).with_suffix(".png").name
            cv2.imwrite(str(labels / name), given[::-1] if inverted else given)
    generator = {"kind": "annotations", "folder": str(labels), "background": True, "ignore": None}
    return make_masks(images=images, out=out, generator=generator)


def command(*names: str) -> str:
    """The command of a study without this machine's paths."""
    study = Path(sys.argv[0]).name
    return f"python studies/{study} {' '.join([*sys.argv[1:2], *(f'{n}={n}' for n in names)])}"
