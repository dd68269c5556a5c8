"""Bytes that two ranks send in an update, counted by the kernel, beside the model of `scaling.py`.

python benchmarks/traffic.py          # some minutes; adds to results/scaling.json (Linux)

Two gloo processes on this machine train DetCon-S and DetCon-B on a ResNet-50 with batches of 16
photos of 64 pixels: gradients and embeddings don't depend on the size of the photos. They run in a
network namespace of their own (`unshare -rn`), so that the counter of its loopback interface has
nothing but their packets, headers included. An update is what a run of 6 sends beyond one of 2.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from pairs import RESULTS, machine
from scaling import MAKE, count, rank
from step import LOOP, make_batch

from detcon.models.encoders import build_encoder, feature_grid
from detcon.models.recipe import EncoderRecipe
from detcon.train.loop import fit
from detcon.train.plan import Hooks, Plan
from detcon.train.recipe import Cosine, Lars

PHOTOS, SIZE, SHORT, LONG = 16, 64, 2, 6


def train(kind: str, steps: int) -> None:
    """One rank."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderRecipe(name="resnet50"))
    method = MAKE[kind](encoder)
    batch = make_batch(kind, SIZE, PHOTOS // 2, feature_grid(encoder, SIZE))
    plan = Plan(
        steps=steps,
        batch_size=PHOTOS,
        optimizer=Lars(lr=0.1),
        schedule=Cosine(),
        loop=LOOP.model_copy(update={"precision": "32", "accelerator": "cpu"}),
        sync_norms=True,
    )
    update = Hooks(after_step=lambda step: method.update_target(0.99))
    with tempfile.TemporaryDirectory() as folder:
        fit(
            method,
            lambda first: iter([batch] * steps),
            plan=plan,
            folder=Path(folder),
            hooks=update,
        )


def sent(kind: str, steps: int) -> int:
    """Bytes that both ranks send."""
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "GLOO_SOCKET_IFNAME": "lo"}
    before = transmitted()
    both = [
        subprocess.Popen(
            [sys.executable, __file__, "rank", kind, str(steps)],
            env=os.environ | common | {"RANK": str(number), "LOCAL_RANK": str(number)},
        )
        for number in range(2)
    ]
    if any(process.wait() for process in both):
        raise SystemExit("a rank failed; its own message says why")
    return transmitted() - before


def transmitted() -> int:
    line = next(x for x in Path("/proc/net/dev").read_text().splitlines() if "lo:" in x)
    return int(line.split()[9])


def measure() -> dict[str, Any]:
    """Megabytes that a rank sends in an update: counted, and by the model."""
    figures = {}
    for kind in MAKE:
        counted = (sent(kind, LONG) - sent(kind, SHORT)) / (LONG - SHORT) / 2 / 1e6
        model = rank(count(kind), kind, PHOTOS, 2)
        figures[kind] = {
            "counted": counted,
            "gradients by the model": model["send gradients"],
            "embeddings by the model": model["send embeddings"],
        }
        print(kind, figures[kind], flush=True)
    return figures


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["rank", kind, steps]:
            train(kind, int(steps))
        case ["inside"]:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            path = RESULTS / "scaling.json"
            found = json.loads(path.read_text()) | {"traffic": measure(), "machine": machine()}
            path.write_text(json.dumps(found, indent=1) + "\n")
        case _:
            words = ["unshare", "-rn", sys.executable, __file__, "inside"]
            sys.exit(subprocess.run(words).returncode)
