"""Depth of path-traced rooms: the data as a folder, and the rate and length of fine-tuning.

    python studies/rooms.py prepare data=rooms128 out=runs/rooms
    python studies/rooms.py sweep data=runs/rooms work=runs/rooms-sweep [rates=[1e-3]] [steps=[300]]
    python studies/rooms.py chance data=runs/rooms

`prepare` reads `SCENE_VIEW_rgb.png` and `SCENE_VIEW_depth.png` (16 bits, thousandths of a metre),
three views a scene, and writes train/ and val/, each with images/ and depth/; the last fifth of the
scenes are val: views of one room are never on both sides. `sweep` holds the last fifth of the
training scenes back and judges rates and lengths on them, from random weights; val takes no part.
Each run is one JSON in studies/results/rooms; one that is there is not run again.
"""

import itertools
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from detcon import transfer
from detcon.annotations.open import open_depth
from detcon.config import parse_overrides
from detcon.downstream.depth.measured import DepthSplit
from detcon.downstream.depth.scoring import score

RESULTS = Path(__file__).parent / "results" / "rooms"
ENCODER = {"name": "resnet18", "width": 0.5, "stride": 32}
HEADS = ("up_projection",)
RATES = (1e-3, 3e-3, 1e-2)
STEPS = (300, 600)


def prepare(data: Path, out: Path) -> None:
    """Writes the project's folder layout."""
    for part, scenes in zip(("train", "val"), split_scenes(sorted(data.glob("*_depth.png")))):
        for depth in scenes:
            name = depth.name.removesuffix("_depth.png")
            copy(depth, out / part / "depth" / f"{name}.png")
            copy(depth.with_name(f"{name}_rgb.png"), out / part / "images" / f"{name}.png")


def hold_out(data: Path, work: Path) -> Path:
    """The training pictures in two, by scene."""
    folder = work / "held-out"
    depths = sorted((data / "train" / "depth").iterdir())
    for part, scenes in zip(("train", "val"), split_scenes(depths)):
        for depth in scenes:
            copy(depth, folder / part / "depth" / depth.name)
            copy(data / "train" / "images" / depth.name, folder / part / "images" / depth.name)
    return folder


def split_scenes(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The files of the first four fifths of the scenes, and those of the others."""
    scenes = sorted({file.name.split("_")[0] for file in files})
    first = set(scenes[: len(scenes) * 4 // 5])
    train = [file for file in files if file.name.split("_")[0] in first]
    return train, [file for file in files if file not in train]


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def sweep(data: Path, work: Path, settings: dict) -> None:
    held_out = hold_out(data, work)
    names = (("heads", HEADS), ("steps", STEPS), ("rates", RATES))
    choices = [settings.get(name, default) for name, default in names]
    for head, steps, rate in itertools.product(*choices):
        name = f"sweep-{head}-lr{rate:g}-steps{steps}"
        if (RESULTS / f"{name}.json").exists():
            continue
        (result,) = transfer(
            "recipes/transfer/rooms_depth.yaml",
            data=held_out,
            backbone="random",
            encoder=ENCODER,
            out=work / name,
            steps=steps,
            **{"optimizer.lr": rate, "depth.head": head},
        )
        line = {"head": head, "rate": rate, "steps": steps, "result": asdict(result)}
        RESULTS.mkdir(parents=True, exist_ok=True)
        text = json.dumps(line, indent=1, default=str).replace(f"{work}/", "")
        (RESULTS / f"{name}.json").write_text(text + "\n")
        print(name, {n: round(v, 3) for n, v in result.figures.items() if v}, flush=True)


def print_chance(data: Path) -> None:
    """What the best constant guesses reach on val: the mean and the median depth of train."""
    train, val = (DepthSplit(open_depth(data, "folder", part), part) for part in ("train", "val"))
    depths = np.concatenate([train.read(i).depth.ravel() for i in range(len(train.keys))])
    for name, guess in (("mean", np.nanmean(depths)), ("median", np.nanmedian(depths))):
        pictures = (val.read(i) for i in range(len(val.keys)))
        figures = score(lambda p, guess=guess: np.full(p.depth.shape, guess), pictures).figures
        print(name, f"{guess:.3f} m", {n: round(v, 3) for n, v in figures.items() if v})


def main() -> None:
    stage, *words = sys.argv[1:]
    settings = parse_overrides(words)
    data = Path(settings["data"])
    if stage == "prepare":
        prepare(data, Path(settings["out"]))
    elif stage == "sweep":
        sweep(data, Path(settings["work"]), settings)
    else:
        print_chance(data)


if __name__ == "__main__":
    main()
