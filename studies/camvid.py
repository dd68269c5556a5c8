"""DetCon-S, DetCon-B, SimCLR, BYOL and random weights on street photographs, at one budget.

Learning rates and masks are chosen on held-out training photos, then three seeds are judged on val:

    python studies/camvid.py sweep data=camvid work=runs/camvid
    python studies/camvid.py masks data=camvid work=runs/camvid
    python studies/camvid.py final data=camvid work=runs/camvid
    python studies/camvid.py long data=camvid work=runs/camvid
    python studies/camvid.py fine data=camvid work=runs/camvid
    python studies/camvid.py tuning data=camvid work=runs/camvid
    python studies/camvid.py table
    python studies/camvid.py quality data=camvid work=runs/camvid

With `methods=[detcon_s,simclr]`, `masks=[grid]`, `seeds=[0]` or `tasks=[linear_segmentation]` a
process does a part of the cells, so that two can share two cores, one thread each.

`data` holds train/ and val/, each with images/ and labels/ (CamVid, class 11 is void). Every cell
is one JSON in studies/results/camvid; a cell that is there is not run again, and an interrupted
one goes on from its checkpoint.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from cells import Cell, command, is_wanted, print_table, save_cell, shuffle_masks

from detcon import MaskStore, make_masks, pretrain, transfer
from detcon.config import parse_overrides
from detcon.models.backbone_file import save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.normalisation import Normalisation
from detcon.models.recipe import EncoderRecipe
from detcon.photos import open_photos

RESULTS = Path(__file__).parent / "results" / "camvid"
ENCODER = EncoderRecipe(name="resnet18", width=0.5, stride=16)
METHODS = ("detcon_s", "detcon_b", "simclr", "byol")
RANDOM = ("random", "random_plain")  # as pretraining starts; with all scales at 1
RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 16e-3, 32e-3)
FELZENSZWALB = "felzenszwalb"
# Where masks come from: a generator, or a way to spoil the masks of `felzenszwalb`.
SOURCES = {
    FELZENSZWALB: {"kind": "felzenszwalb", "scale": 1000.0, "min_size": 1000},
    "felzenszwalb_small": {
        "kind": "felzenszwalb",
        "scale": 500.0,
        "min_size": 250,
        "max_side": 256,
    },
    "felzenszwalb_fine": {"kind": "felzenszwalb", "scale": 100.0, "min_size": 250, "max_side": 256},
    "grid": {"kind": "grid", "rows": 5, "columns": 5},
    "annotated": {"kind": "annotations", "background": True, "ignore": 11},
}
SPOILT = ("shuffled", "shuffled_inverted")  # another photo's masks, and those upside down
LONG = (
    ("detcon_s", FELZENSZWALB),
    ("simclr", FELZENSZWALB),
    ("detcon_s", "shuffled_inverted"),
    ("detcon_s", "annotated"),
    ("detcon_b", FELZENSZWALB),
)
TUNING = (1e-3, 3e-3)
# Rates that the sweep doesn't say: random weights need none; BYOL's 32e-3 came after `final`.
CHOSEN = {"random": 0.0, "random_plain": 0.0, "byol": 8e-3}
STEPS = {"sweep": 128, "masks": 128, "final": 256, "long": 512, "fine": 128}
LABELS = (20, 50, 100, 367)
VOID = 11
TASKS = {"linear_segmentation": "camvid_linear", "segmentation": "camvid_fcn"}


def sweep_cells() -> Iterator[Cell]:
    for method in METHODS:
        for lr in RATES:
            yield Cell("sweep", method, lr, 0, "linear_segmentation", 100, FELZENSZWALB)
    yield Cell("sweep", "random", 0, 0, "linear_segmentation", 100, FELZENSZWALB)


def mask_cells() -> Iterator[Cell]:
    for seed in range(3):
        for masks in (*SOURCES, *SPOILT):
            lr = best_rate("detcon_s")
            yield Cell("masks", "detcon_s", lr, seed, "linear_segmentation", 100, masks)


def final_cells() -> Iterator[Cell]:
    variants = [(method, FELZENSZWALB) for method in (*RANDOM, *METHODS)]
    variants += [("detcon_s", masks) for masks in (*SOURCES, *SPOILT)][1:]
    for task in TASKS:
        for seed in range(3):
            for method, masks in variants:
                for labels in LABELS:
                    yield Cell("final", method, best_rate(method), seed, task, labels, masks)


def long_cells() -> Iterator[Cell]:
    for seed in range(3):
        for method, masks in LONG:
            for labels in (20, 100):
                lr = best_rate(method)
                yield Cell("long", method, lr, seed, "linear_segmentation", labels, masks)


def fine_cells() -> Iterator[Cell]:
    """A finer grid, 10 x 10 cells of 8 pixels: do masks matter there?"""
    for masks in ("annotated", "shuffled_inverted", FELZENSZWALB):
        lr = best_rate("detcon_s")
        yield Cell("fine", "detcon_s", lr, 0, "linear_segmentation", 100, masks)


def tuning_cells() -> Iterator[Cell]:
    """Rates of fine-tuning, from the pretrainings of `final`, on held-out training photos."""
    for tuning in TUNING:
        for method in ("random", "detcon_s", "simclr", "detcon_b"):
            lr = best_rate(method)
            yield Cell("final", method, lr, 0, "segmentation", 20, FELZENSZWALB, tuning)


def best_rate(method: str) -> float:
    """The learning rate that did best in the sweep."""
    if method in CHOSEN:
        return CHOSEN[method]
    paths = RESULTS.glob(f"sweep-{method}-*.json")
    lines = [json.loads(path.read_text()) for path in paths]
    return max(lines, key=lambda line: line["result"]["value"])["cell"]["lr"]


def carry_out(cell: Cell, data: Path, work: Path) -> None:
    target = RESULTS / f"{cell.name}.json"
    if target.exists():
        return
    backbone = "random"
    if cell.method == "random_plain":
        backbone = plain_backbone(cell, work)
    elif cell.method != "random":
        backbone = pretrain_cell(cell, data, work)
    judged = cell.stage in ("final", "long") and not cell.tuning
    labelled = data if judged else held_out(data, work)
    (result,) = transfer(
        f"recipes/transfer/{TASKS[cell.task]}.yaml",
        data=labelled,
        backbone=backbone,
        out=work / "transfer" / cell.name,
        labels=cell.labels,
        seed=cell.seed,
        encoder=ENCODER if backbone == "random" else None,
        **({"optimizer.lr": cell.tuning} if cell.tuning else {}),
    )
    save_cell(RESULTS, cell, result, command("data", "work"), work)


def pretrain_cell(cell: Cell, data: Path, work: Path) -> Path:
    out, images = work / "pretrain" / cell.run, data / "train" / "images"
    if (out / "backbone.safetensors").exists():
        return out / "backbone.safetensors"
    return pretrain(
        f"recipes/pretrain/{cell.method}_small.yaml",
        images=images,
        masks=store_of(cell.masks, data, work),
        out=out,
        steps=STEPS[cell.stage],
        seed=cell.seed,
        workers=0,
        **{"optimizer.lr": cell.lr, "encoder.stride": 8 if cell.stage == "fine" else 16},
    )


def plain_backbone(cell: Cell, work: Path) -> Path:
    """Random weights whose residual branches all count: their last norms scale by 1, not by 0."""
    path = work / f"random-plain-seed{cell.seed}.safetensors"
    torch.manual_seed(cell.seed)
    encoder = build_encoder(ENCODER)
    for name, parameter in encoder.named_parameters():
        if parameter.ndim == 1 and name.endswith("weight"):
            torch.nn.init.ones_(parameter)
    save_backbone(path, encoder, ENCODER, normalisation=Normalisation())
    return path


def store_of(masks: str, data: Path, work: Path) -> Path:
    """The store of a source of masks, made where it isn't there yet."""
    out, images = work / masks, data / "train" / "images"
    if masks in SPOILT:
        own = store_of(FELZENSZWALB, data, work)
        return shuffle_masks(images, own, out, inverted=masks == "shuffled_inverted")
    generator = SOURCES[masks]
    if masks == "annotated":
        generator = {**generator, "folder": str(data / "train" / "labels")}
    return make_masks(images=images, out=out, generator=generator)


def print_quality(data: Path, work: Path) -> None:
    """How well each source's masks keep to one class, on every sixth training photo.

    Purity: the share of a mask's pixels that have its most frequent class, mean over masks. Best
    overlap: the greatest IoU of any mask with a connected piece of a class, mean over pieces of
    at least 40 pixels. Both at 160 x 120, void left out.
    """
    size = (160, 120)
    print("| masks | a photo | purity (%) | best overlap (%) |\n|---|---|---|---|")
    for source in (*SOURCES, *SPOILT):
        store, num, purities, overlaps = MaskStore(store_of(source, data, work)), [], [], []
        for key in open_photos(data / "train" / "images").keys[::6]:
            path = data / "train" / "labels" / Path(key).with_suffix(".png").name
            truth = cv2.resize(cv2.imread(str(path), -1), size, interpolation=cv2.INTER_NEAREST)
            labels = store[key].labels.astype(np.float32)
            labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
            masks = [labels == i for i in np.unique(labels[labels >= 0])]
            num.append(len(masks))
            counts = [np.bincount(truth[mask], minlength=VOID + 1)[:VOID] for mask in masks]
            purities += [count.max() / count.sum() for count in counts if count.any()]
            for piece in pieces_of(truth):
                overlaps.append(max((piece & m).sum() / (piece | m).sum() for m in masks))
        means = np.mean(num), 100 * np.mean(purities), 100 * np.mean(overlaps)
        print(f"| {source} | {' | '.join(f'{value:.1f}' for value in means)} |", flush=True)


def pieces_of(truth: np.ndarray) -> Iterator[np.ndarray]:
    """The connected pieces of each class of a label map, but the smallest."""
    for label in np.unique(truth[truth < VOID]):
        count, pieces = cv2.connectedComponents((truth == label).astype(np.uint8))
        for number in range(1, count):
            if (pieces == number).sum() >= 40:
                yield pieces == number


def held_out(data: Path, work: Path) -> Path:
    """The training photos in two: every second block of 61 is for judging. No photo of val."""
    folder = work / "held-out"
    photos = sorted((data / "train" / "images").iterdir())
    for i, photo in enumerate(photos):
        part = "val" if i // 61 % 3 == 2 else "train"
        label = data / "train" / "labels" / f"{photo.stem}.png"
        for kind, path in (("images", photo), ("labels", label)):
            link = folder / part / kind / path.name
            if not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.resolve())
    return folder


def main() -> None:
    stage, *words = sys.argv[1:]
    if stage == "table":
        return print_table(RESULTS)
    settings = parse_overrides(words)
    if stage == "quality":
        return print_quality(Path(settings["data"]), Path(settings["work"]))
    stages = {
        "sweep": sweep_cells,
        "masks": mask_cells,
        "final": final_cells,
        "long": long_cells,
        "fine": fine_cells,
        "tuning": tuning_cells,
    }
    for cell in stages[stage]():
        if is_wanted(cell, settings):
            carry_out(cell, Path(settings["data"]), Path(settings["work"]))


if __name__ == "__main__":
    main()
