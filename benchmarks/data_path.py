"""From photo to batch: beside lightly's `DetConSTransform`, stage by stage, and within a step.

    OMP_NUM_THREADS=1 python benchmarks/data_path.py         # five minutes; writes a result
    OMP_NUM_THREADS=1 python benchmarks/data_path.py quick   # two minutes; writes nothing
    python benchmarks/data_path.py table                     # the result as Markdown

How it is measured, and what the figures are: docs/performance.md.
"""

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import cv2
import numpy as np
import torch
from jpegs import make_photos, our_views
from lightly_views import lightly_views
from pairs import RESULTS, in_pairs, save, stage_table

from detcon import detcon_s
from detcon.data.batch import Batch
from detcon.data.colour import apply_colour, draw_colour
from detcon.data.cut import draw_cut
from detcon.data.dataset import PhotoViews
from detcon.data.loader import collate
from detcon.masks.store import MaskStore
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe
from detcon.photos import Photos, decode
from detcon.train.optim import build_optimizer
from detcon.train.recipe import AdamW

NORMALISATION = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
UNCHANGED = {"cj_prob": 0, "random_gray_scale": 0, "gaussian_blur_t1": 0}
PEERS = (
    ("detcon_s", "pil"),
    ("detcon_s", "cv2"),
    ("none", "pil"),
    ("none", "cv2"),
    ("none", "tensor"),
)
BATCH = 64


def our_batch(dataset: PhotoViews) -> tuple[Batch, list[torch.Tensor]]:
    """From files, or photos in memory, to what the network reads."""
    batch = collate([dataset[0, index] for index in range(len(dataset))])
    return batch, coloured(batch)


def coloured(batch: Batch) -> list[torch.Tensor]:
    pairs = zip(batch.images, batch.colour, strict=True)
    return [apply_colour(images, colour, **NORMALISATION) for images, colour in pairs]


def stages(dataset: PhotoViews, photos: Photos, store: MaskStore) -> dict[str, float]:
    """CPU milliseconds a photo of each stage, in the order of the pipeline, photo by photo."""
    spent, views = defaultdict(float), dataset.views
    held = [(photos.read(key), store[key]) for key in photos.keys] if dataset._held else None

    def mark(stage: str) -> None:
        nonlocal last
        spent[stage] += process_time() - last
        last = process_time()

    planes, last = np.empty((3, views.size, views.size), np.uint8), process_time()
    for index, key in enumerate(photos.keys):
        if held is not None:
            photo, masks = held[index]
        else:
            data = photos.data(key)
            mark("read")
            photo = decode(data, key)
            mark("decode")
            masks = store[key]
            mark("unpack masks")
        for view in range(2):
            rng = dataset.draws(0, index, view)
            cut = draw_cut(rng, photo.shape[:2], views)
            draw_colour(rng, views.colour[view])
            mark("draw")
            image = cut.image(photo, views.size, views.resize)
            mark("cut and resize")
            cv2.split(image, list(planes))
            mark("channels first")
            cut.weights(masks, photo.shape[:2], views.size, dataset.grid, rng=rng)
            mark("region weights")
    samples = [dataset[0, index] for index in range(len(dataset))]
    last = process_time()
    batch = collate(samples)
    mark("collate")
    for view in range(2):
        apply_colour(batch.images[view], batch.colour[view], **NORMALISATION)
        mark(f"colour, view {view + 1}")
    our_batch(dataset)
    mark("all, as a run does it")
    return {stage: 1000 * seconds / len(photos) for stage, seconds in spent.items()}


def step(batch: Batch) -> Callable[[], None]:
    """DetCon-S on ResNet-18, AdamW, bf16, channels last: one update, from a ready batch."""
    method = detcon_s(build_encoder(EncoderRecipe(name="resnet18")))
    method.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(AdamW(lr=1e-4), method, BATCH)

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = method(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return run


def within_step(dataset: PhotoViews, runs: int) -> dict[str, float]:
    """The share of the data path, colour included, in the CPU time of a step."""
    batch = collate([dataset[0, index] for index in range(BATCH)])
    pairs = in_pairs(partial(our_batch, dataset), step(batch), runs=runs, clock=process_time)
    colour = median(in_pairs(partial(coloured, batch), list, runs=runs, clock=process_time).ours)
    both = zip(pairs.ours, pairs.peer, strict=True)
    share = median(data / (data + whole - colour) for data, whole in both)
    return {"data": median(pairs.ours), "rest": median(pairs.peer) - colour, "share": share}


def measure(folder: Path, runs: int) -> dict[str, Any]:
    """Everything, in CPU time of one thread."""
    jpegs, small = (
        make_photos(folder / f"{y}", (y, x), BATCH) for y, x in ((375, 500), (160, 160))
    )
    figures: dict[str, Any] = {"peer": {}, "stages": {}, "step": {}}
    for colour, kind in PEERS:
        ours = partial(our_batch, our_views(*jpegs, 224, colour))
        theirs = lightly_views(*jpegs, kind, **(UNCHANGED if colour == "none" else {}))
        pairs = in_pairs(ours, theirs, runs=runs, warm_up=1, clock=process_time)
        figures["peer"][f"{colour}, {kind}"] = pairs.figures()
    for place, size in (("JPEG", 224), ("JPEG", 96), ("memory", 96)):
        source = small if place == "memory" else jpegs
        dataset = our_views(*source, size, place=place)
        found = [stages(dataset, *source) for _ in range(runs + 1)][1:]
        medians = {stage: median(one[stage] for one in found) for stage in found[0]}
        figures["stages"][f"{size} px, {place}"] = medians
    for place in ("JPEG", "JPEG, reduced", "memory"):
        source = small if place == "memory" else jpegs
        figures["step"][place] = within_step(our_views(*source, 96, place=place), runs)
    return figures


def tables(figures: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = ["| colour, peer | ours, ms | lightly, ms | lightly / ours |", "|---|--:|--:|--:|"]
    for name, one in figures["peer"].items():
        ours, theirs = (1000 * one[f"{who}_seconds"] / BATCH for who in ("ours", "peer"))
        spread = f"{1 / one['greatest_ratio']:.2f}-{1 / one['least_ratio']:.2f}"
        lines.append(f"| {name} | {ours:.2f} | {theirs:.2f} | {1 / one['ratio']:.2f} ({spread}) |")
    lines += ["", *stage_table(figures["stages"], digits=3)]
    lines += ["", "| photos from | data, ms a step | the rest, ms | share |", "|---|--:|--:|--:|"]
    for place, one in figures["step"].items():
        data, rest = 1000 * one["data"], 1000 * one["rest"]
        lines.append(f"| {place} | {data:.1f} | {rest:.0f} | {one['share']:.1%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    if what == "table":
        print(tables(json.loads((RESULTS / "data_path.json").read_text())["figures"]))
    else:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        with tempfile.TemporaryDirectory() as name:
            found = measure(Path(name), runs=3 if what == "quick" else 10)
        print(tables(found) if what == "quick" else save("data_path", found))
