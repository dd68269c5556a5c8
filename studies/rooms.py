"""Depth of path-traced rooms: the data as a folder, and how to fine-tune on them.

    python studies/rooms.py prepare data=rooms128 out=runs/rooms
    python studies/rooms.py sweep data=runs/rooms work=runs/rooms-sweep
    python studies/rooms.py guesses data=runs/rooms
    python studies/rooms.py final data=runs/rooms work=runs/rooms-final backbones=runs/camvid
    python studies/rooms.py table

`prepare` reads `SCENE_VIEW_rgb.png` and `SCENE_VIEW_depth.png` (16 bits, thousandths of a metre),
three views a scene, and writes train/ and val/, each with images/ and depth/; the last fifth of the
scenes are val: views of one room are never on both sides. `sweep` holds the last fifth of the
training scenes back and judges settings on them, from random weights; val takes no part. Each run
is one JSON in studies/results/rooms; one that is there is not run again; `cells=[0,3]` does some of
them. `guesses` says what can be had without a look at the photo. `final` fine-tunes with few labels
from random weights and from the backbones that `studies/camvid.py final` pretrained on street
photographs, and judges on val; a part of its cells with `methods=[random] labels=[100] seeds=[0]`.
"""

import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from cells import Cell, command, is_wanted, print_table, save_cell

from detcon import transfer
from detcon.config import parse_overrides
from detcon.downstream.tasks.depth.measured import DepthSplit
from detcon.downstream.tasks.depth.scoring import score
from detcon.formats.registry import open_depth

RESULTS = Path(__file__).parent / "results" / "rooms"
ENCODER = {"name": "resnet18", "width": 0.5}
FLAT = {"depth.colour.grey": 0.0, "depth.colour.hue": 0.0, "depth.colour.saturation": 0.2}
SETTINGS = {
    "stride32": {"stride": 32, "depth.widths": [128, 64, 32, 16]},
    "stride16": {"stride": 16, "depth.widths": [128, 64, 32]},
    "stride8": {"stride": 8, "depth.widths": [128, 64]},
}
SETTINGS |= {f"{n}-flat": {**SETTINGS[n], "crop": 128, **FLAT} for n in ("stride32", "stride16")}
CELLS = (
    ("stride32", 1e-3, 300),
    ("stride32", 3e-3, 300),
    ("stride32", 1e-2, 300),
    ("stride16", 3e-3, 300),
    ("stride8", 3e-3, 200),
    ("stride32-flat", 3e-3, 300),
    ("stride16-flat", 3e-3, 300),
    ("stride16", 3e-3, 600),
)
"""Settings, rate and steps: rates first, then the resolution, the augmentation, the length."""
LABELS = (100, 300)
RATES = {"random": 0.0, "detcon_s": 4e-3, "detcon_b": 16e-3, "simclr": 16e-3, "byol": 8e-3}
"""Of pretraining, as `studies/camvid.py` chose them."""


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


def sweep(data: Path, work: Path, cells: Sequence[int]) -> None:
    held_out = hold_out(data, work)
    for name, rate, steps in (CELLS[number] for number in cells):
        run = f"{name}-lr{rate:g}-steps{steps}"
        if (RESULTS / f"{run}.json").exists():
            continue
        begin = time.process_time()
        (result,) = transfer(
            "recipes/transfer/rooms_depth.yaml",
            data=held_out,
            backbone="random",
            encoder=ENCODER,
            out=work / run,
            steps=steps,
            **SETTINGS[name],
            **{"optimizer.lr": rate},
        )
        spent = round(time.process_time() - begin)
        line = {"settings": SETTINGS[name], "rate": rate, "steps": steps, "cpu_seconds": spent}
        RESULTS.mkdir(parents=True, exist_ok=True)
        text = json.dumps(line | {"result": asdict(result)}, indent=1, default=str)
        (RESULTS / f"{run}.json").write_text(text.replace(f"{work}/", "") + "\n")
        print(run, result.figures, f"{spent} s of CPU", flush=True)


def final_cells() -> Iterator[Cell]:
    for seed in range(3):
        for method, rate in RATES.items():
            for labels in LABELS:
                yield Cell("final", method, rate, seed, "depth", labels, "felzenszwalb")


def carry_out(cell: Cell, data: Path, work: Path, backbones: Path) -> None:
    folder = RESULTS / "final"
    if (folder / f"{cell.name}.json").exists():
        return
    random = cell.method == "random"
    (result,) = transfer(
        "recipes/transfer/rooms_depth.yaml",
        data=data,
        backbone="random" if random else backbones / "pretrain" / cell.run / "backbone.safetensors",
        encoder=ENCODER if random else None,
        out=work / cell.name,
        labels=cell.labels,
        seed=cell.seed,
    )
    save_cell(folder, cell, result, command("data", "work", "backbones"), work, backbones)


def print_guesses(data: Path) -> None:
    """What one depth for all, and the mean picture of depth, reach on val."""
    train, val = (DepthSplit(open_depth(data, "folder", part), part) for part in ("train", "val"))
    depths = np.stack([train.read(i).depth for i in range(len(train.keys))])
    pictures = [val.read(i) for i in range(len(val.keys))]
    for name, guess in (("one depth", np.nanmean(depths)), ("mean map", np.nanmean(depths, 0))):
        found = score(lambda p, guess=guess: np.broadcast_to(guess, p.depth.shape), pictures)
        print(name, found.figures)


def main() -> None:
    stage, *words = sys.argv[1:]
    settings = parse_overrides(words)
    if stage == "table":
        return print_table(RESULTS / "final")
    data = Path(settings["data"])
    if stage == "prepare":
        prepare(data, Path(settings["out"]))
    elif stage == "sweep":
        sweep(data, Path(settings["work"]), settings.get("cells", range(len(CELLS))))
    elif stage == "final":
        for cell in final_cells():
            if is_wanted(cell, settings):
                carry_out(cell, data, Path(settings["work"]), Path(settings["backbones"]))
    else:
        print_guesses(data)


if __name__ == "__main__":
    main()
