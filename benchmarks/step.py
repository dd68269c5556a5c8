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
from detcon.methods import Method, detcon_b, detcon_s
from detcon.models.encoders import build_encoder, feature_grid
from detcon.models.recipe import EncoderRecipe
from detcon.train.loop import fit
from detcon.train.optim import build_optimizer
from detcon.train.plan import Hooks, Plan
from detcon.train.recipe import AdamW, Cosine, Lars, LoopRecipe

RUNS, WARM_UP, REGIONS, MASKS = 10, 2, 16, 12
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LOOP = LoopRecipe(log_every=1000, checkpoint_every=None, checkpoint_minutes=None)
CASES = {
    "resnet50, 224 px, batch 16": (EncoderRecipe(name="resnet50"), 224, 16, Lars(lr=0.1), 1.10),
    "resnet18, 96 px, batch 64": (EncoderRecipe(name="resnet18"), 96, 64, AdamW(lr=1e-3), 1.25),
}
METHODS = {"detcon_s": detcon_s, "detcon_b": detcon_b}


def make_batch(kind: str, size: int, num: int, grid: tuple[int, int]) -> Batch:
    """A batch as the loader makes it: some masks a view, each cell won by one of them."""
    rng = np.random.default_rng(0)
    won = rng.integers(MASKS, size=(2, num, *grid))
    present = [[np.unique(cells) for cells in view] for view in won]
    ids = np.array([[rng.choice(found, REGIONS) for found in view] for view in present])
    weights = won[:, :, None] == ids[..., None, None]
    colour = [[draw_colour(rng, view) for _ in range(num)] for view in COLOUR_PRESETS[kind]]
    images = rng.integers(256, size=(2, num, 3, size, size), dtype=np.uint8)
    parts = (images, ids, weights.astype(np.float32), np.array(colour))
    return Batch(*(torch.from_numpy(part) for part in parts), index=torch.arange(num))


def floor_of(method: Method, batch: Batch, optimizer: Lars | AdamW) -> Any:
    """A function that makes the encoder's passes and the optimiser's update, and no more."""
    encoder = copy.deepcopy(method.encoder).to(memory_format=torch.channels_last)
    target = copy.deepcopy(encoder).requires_grad_(False) if method.target else None
    updates = build_optimizer(optimizer, nn.ModuleList([encoder]), batch.images.shape[1])
    views = [
        apply_colour(images, colour, mean=MEAN, std=STD).to(memory_format=torch.channels_last)
        for images, colour in zip(batch.images, batch.colour, strict=True)
    ]

    def passes() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            features = [encoder(view) for view in views]
            if target is not None:
                with torch.no_grad():
                    for view in views:
                        target(view)
        torch.autograd.backward(features, [torch.ones_like(one) for one in features])
        updates.step()
        updates.zero_grad(set_to_none=True)

    return passes


def measure(kind: str, recipe: EncoderRecipe, size: int, num: int, optimizer: Any) -> Pairs:
    """Seconds of a step and of its floor, in turns."""
    torch.manual_seed(0)
    encoder = build_encoder(recipe)
    method = METHODS[kind](encoder)
    batch = make_batch(kind, size, num, feature_grid(encoder, size))
    floor, ours, bare = floor_of(method, batch, optimizer), [], []

    def turns(first: int) -> Iterator[Batch]:
        for _ in range(WARM_UP + RUNS):
            start = time.perf_counter()
            yield batch
            ours.append(time.perf_counter() - start)
            start = time.perf_counter()
            floor()
            bare.append(time.perf_counter() - start)
        yield batch

    with tempfile.TemporaryDirectory() as folder:
        fit(
            method,
            turns,
            plan=Plan(
                steps=WARM_UP + RUNS + 1,
                optimizer=optimizer,
                schedule=Cosine(),
                loop=LOOP,
                batch_size=num,
            ),
            folder=Path(folder),
            hooks=Hooks(after_step=lambda step: method.update_target(0.996)),
        )
    return Pairs(ours[WARM_UP:], bare[WARM_UP:])


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
            found = measure(kind, recipe, size, num, optimizer).figures()
            figures[f"{case}, {kind}"] = found
            print(f"{case}, {kind}: {found['ratio']:.3f}")
    print(f"wrote {save('step', figures).name}")


if __name__ == "__main__":
    main()
