"""A step of DetCon on ready batches, colour included, beside the bare encoder passes it contains.

    python benchmarks/step.py            # about ten minutes on one thread
    python benchmarks/step.py table      # the result as Markdown

The floor is the encoder alone: two forward and backward passes, and for DetCon-B two forward
passes of the target, on photos that are coloured and normalised already, in the same precision
and layout, with the same optimiser over the encoder's parameters. Ours is `fit` itself: it and the
floor take turns within one run.
"""

import copy
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pairs import RESULTS, Pairs, save
from torch import nn

from detcon.data.batch import Batch
from detcon.data.colour import apply_colour, draw_colour
from detcon.data.recipe import COLOUR_PRESETS
from detcon.methods.compositions import detcon_b, detcon_s, simclr
from detcon.methods.method import Method
from detcon.models.encoders import build_encoder, feature_grid
from detcon.models.recipe import EncoderRecipe
from detcon.train.loop import fit
from detcon.train.optim import build_optimizer
from detcon.train.plan import Hooks, Plan
from detcon.train.recipe import AdamW, Cosine, Lars, LoopRecipe
from detcon.train.replica import open_replica

RUNS, WARM_UP, REGIONS, MASKS = 10, 2, 16, 12
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LOOP = LoopRecipe(log_every=1000, checkpoint_every=None, checkpoint_minutes=None)
CASES = {
    "resnet50, 224 px, batch 16": (EncoderRecipe(name="resnet50"), 224, 16, Lars(lr=0.1), 1.10),
    "resnet18, 96 px, batch 64": (EncoderRecipe(name="resnet18"), 96, 64, AdamW(lr=1e-3), 1.25),
}
METHODS = {"detcon_s": detcon_s, "detcon_b": detcon_b}
MAKE = {**METHODS, "simclr": simclr}


def make_batch(kind: str, size: int, num: int, grid: tuple[int, int]) -> Batch:
    """A batch as the loader makes it: some masks a view, each cell won by one of them.

    SimCLR's regions are whole views; its colours are those of DetCon-S.
    """
    rng = np.random.default_rng(0)
    won = rng.integers(MASKS, size=(2, num, *grid))
    present = [[np.unique(cells) for cells in view] for view in won]
    ids = np.array([[rng.choice(found, REGIONS) for found in view] for view in present])
    weights = won[:, :, None] == ids[..., None, None]
    if kind == "simclr":
        ids, weights = np.zeros((2, num, 1), int), np.ones((2, num, 1, *grid))
    presets = COLOUR_PRESETS["detcon_b" if kind == "detcon_b" else "detcon_s"]
    colour = [[draw_colour(rng, view) for _ in range(num)] for view in presets]
    images = rng.integers(256, size=(2, num, 3, size, size), dtype=np.uint8)
    parts = (images, ids, weights.astype(np.float32), np.array(colour))
    return Batch(*(torch.from_numpy(part) for part in parts), index=torch.arange(num))


def floor_of(
    encoder: nn.Module, batch: Batch, optimizer: Any, *, with_target: bool, loop: LoopRecipe
) -> Any:
    """A function that makes the encoder's passes and the optimiser's update, and no more."""
    replica = open_replica(loop.precision, loop.accelerator)
    device = replica.device
    encoder = encoder.to(device).to(memory_format=torch.channels_last)
    target = copy.deepcopy(encoder).requires_grad_(False) if with_target else None
    updates = build_optimizer(optimizer, nn.ModuleList([encoder]), batch.images.shape[1])
    ready = batch.to(device)
    views = [
        apply_colour(images, colour, mean=MEAN, std=STD).to(memory_format=torch.channels_last)
        for images, colour in zip(ready.images, ready.colour, strict=True)
    ]

    def passes() -> None:
        with replica.autocast():
            features = [encoder(view) for view in views]
            if target is not None:
                with torch.no_grad():
                    for view in views:
                        target(view)
        torch.autograd.backward(features, [torch.ones_like(one) for one in features])
        updates.step()
        updates.zero_grad(set_to_none=True)

    return passes


def now() -> float:
    """Seconds, once the device has done what it was asked to."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(
    method: Method, batch: Batch, optimizer: Any, *, loop: LoopRecipe = LOOP, runs: int = RUNS
) -> tuple[Pairs, float | None]:
    """Seconds of a step and of its floor, in turns.

    Returns:
        The pairs, and the peak of GPU memory of the step alone, in GiB; None without a GPU.
    """
    encoder, ours, bare, peak = copy.deepcopy(method.encoder), [], [], []

    def turns(first: int) -> Iterator[Batch]:
        for _ in range(WARM_UP):
            yield batch
        if torch.cuda.is_available():
            peak.append(torch.cuda.max_memory_allocated() / 2**30)
        floor = floor_of(
            encoder, batch, optimizer, with_target=method.target is not None, loop=loop
        )
        for _ in range(WARM_UP):
            floor()
        for _ in range(runs):
            start = now()
            yield batch
            ours.append(now() - start)
            start = now()
            floor()
            bare.append(now() - start)
        yield batch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        fit(
            method,
            turns,
            plan=Plan(
                steps=WARM_UP + runs + 1,
                optimizer=optimizer,
                schedule=Cosine(),
                loop=loop,
                batch_size=batch.images.shape[1],
            ),
            folder=Path(folder),
            hooks=Hooks(after_step=lambda step: method.update_target(0.996)),
        )
    return Pairs(ours, bare), peak[0] if peak else None


def print_table() -> None:
    figures = json.loads((RESULTS / "step.json").read_text())["figures"]
    print("| encoder | method | a step (s) | its floor (s) | ratio | least to greatest | asked |")
    print("|---|---|---|---|---|---|---|")
    for name, f in figures.items():
        case, kind = name.rsplit(", ", 1)
        spread = f"{f['least_ratio']:.2f} to {f['greatest_ratio']:.2f}"
        print(
            f"| {case} | {kind} | {f['ours_seconds']:.3f} | {f['peer_seconds']:.3f} | "
            f"**{f['ratio']:.2f}** | {spread} | {CASES[case][-1]:.2f} |"
        )


def main() -> None:
    if sys.argv[1:] == ["table"]:
        return print_table()
    figures = {}
    for case, (recipe, size, num, optimizer, _) in CASES.items():
        for kind in METHODS:
            torch.manual_seed(0)
            encoder = build_encoder(recipe)
            batch = make_batch(kind, size, num, feature_grid(encoder, size))
            found = measure(METHODS[kind](encoder), batch, optimizer)[0].figures()
            figures[f"{case}, {kind}"] = found
            print(f"{case}, {kind}: {found['ratio']:.3f}")
    print(f"wrote {save('step', figures).name}")


if __name__ == "__main__":
    main()
