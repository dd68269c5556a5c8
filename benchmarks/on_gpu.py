"""Proves on a GPU, within eight minutes, that the program is right there, and says how fast it is.

    python benchmarks/on_gpu.py                # writes results/on_gpu.json
    python benchmarks/on_gpu.py --smoke        # toy sizes, on a CPU too; prints, and writes nothing
    python benchmarks/on_gpu.py --minutes 15   # another limit

What each part measures: benchmarks/README.md. A part that this machine can't do, or for which no
time was left, is recorded as `not_run` with the reason; one that fails as `failed`, and the command
ends with an error after all others.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import loss as the_loss
import torch
from jpegs import make_photos, our_views
from pairs import in_pairs, save
from step import LOOP, MAKE, make_batch, measure, now

from detcon import make_masks
from detcon.data.loader import batches
from detcon.models.encoders import build_encoder, feature_grid
from detcon.models.recipe import EncoderRecipe
from detcon.train.recipe import Lars, LoopRecipe

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    encoder: EncoderRecipe
    pixels: int
    batches: tuple[int, ...]
    with_options: tuple[int, ...]  # batches with loop.compile and loop.recompute as well
    rows: tuple[int, ...]
    runs: int
    photo: tuple[int, int]
    photos: int
    steps: int  # of the data path
    precision: Any


FULL = Size(
    encoder=EncoderRecipe(name="resnet50"),
    pixels=224,
    batches=(128, 256, 512),
    with_options=(256,),
    rows=tuple(16 * photos for photos in (64, 256, 1024, 4096)),
    runs=8,
    photo=(375, 500),
    photos=256,
    steps=60,
    precision="bf16",
)
TOY = Size(
    encoder=EncoderRecipe(name="resnet18", width=0.125),
    pixels=64,
    batches=(4,),
    with_options=(4,),
    rows=(64,),
    runs=1,
    photo=(64, 80),
    photos=4,
    steps=2,
    precision="32",
)


class NotRun(Exception):
    """What this machine can't do; the text says why."""


def main(words: list[str]) -> int:
    """Runs all parts one after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--minutes", type=float, default=8.0)
    options = parser.parse_args(words)
    if not (GPU or options.smoke):
        print("there is no GPU here; give --smoke for toy sizes on the CPU")
        return 1
    size, end = TOY if options.smoke else FULL, time.monotonic() + 60 * options.minutes
    found: dict[str, Any] = {"device": device(), "smoke": options.smoke}
    for name, parts in PARTS.items():
        begin = time.monotonic()
        found[name] = [one for part in parts(size) for one in recorded(part, end)]
        print(f"{name}, {time.monotonic() - begin:.0f} s: {json.dumps(found[name])}", flush=True)
    if not options.smoke:
        print(f"wrote {save('on_gpu', found).name}")
    return int(any("failed" in one for name in PARTS for one in found[name]))


def device() -> dict[str, Any]:
    """What computes."""
    if not GPU:
        return {"name": "cpu"}
    about = torch.cuda.get_device_properties(0)
    gib = round(about.total_memory / 2**30, 1)
    return {"name": about.name, "gib": gib, "cuda": torch.version.cuda}


Part = tuple[dict[str, Any], Callable[[], dict[str, Any]]]
"""What is measured, and the measurement."""


def recorded(part: Part, end: float) -> Iterator[dict[str, Any]]:
    """The figures of a part, or why there are none."""
    what, run = part
    try:
        if time.monotonic() > end:
            raise NotRun("the time was over")
        yield what | run()
    except NotRun as reason:
        yield what | {"not_run": str(reason)}
    except torch.cuda.OutOfMemoryError:
        yield what | {"out_of_memory": True}
    except Exception as error:
        traceback.print_exc()
        yield what | {"failed": f"{type(error).__name__}: {error}"}
    if GPU:
        torch.cuda.empty_cache()


def tests(size: Size) -> Iterator[Part]:
    """The tests marked `gpu`."""

    def run() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "report.xml")
            command = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/train/test_on_gpu.py"]
            command += ["-p", "no:cacheprovider", f"--basetemp={folder}/tmp"]
            done = subprocess.run(
                [*command, f"--junitxml={report}"],
                cwd=ROOT,
                env=os.environ | {"DETCON_GPU_TESTS": DEVICE},
                capture_output=True,
                text=True,
            )
            if not report.is_file():
                raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
            suite = next(ElementTree.parse(report).iter("testsuite"))
        if done.returncode:
            raise RuntimeError(done.stdout[-4000:])
        counts = {name: int(suite.attrib[name]) for name in ("tests", "skipped")}
        return counts | {"passed": counts["tests"] - counts["skipped"]}

    yield {"against": "cpu" if GPU else "the CPU itself"}, run


def steps(size: Size) -> Iterator[Part]:
    """A step of each method beside the bare encoder passes that it contains."""
    variants: list[dict[str, bool]] = [{}, {"recompute": True}, {"compile": True}]
    for num, kind in product(size.batches, MAKE):
        for options in variants if num in size.with_options else variants[:1]:
            what = {"method": kind, "photos": num, **options}
            yield what, lambda kind=kind, num=num, options=options: step(size, kind, num, **options)


def step(size: Size, kind: str, num: int, *, objective: Any = None, **options: bool) -> dict:
    """Time and memory of a step, in a ratio to the floor."""
    if options.get("compile") and not GPU:
        raise NotRun("compiling takes minutes on a CPU")
    torch.manual_seed(0)
    encoder = build_encoder(size.encoder)
    batch = make_batch(kind, size.pixels, num, feature_grid(encoder, size.pixels))
    changed = {"accelerator": DEVICE, "precision": size.precision, **options}
    loop = LoopRecipe(**{**LOOP.model_dump(), **changed})
    method = MAKE[kind](encoder)
    if objective is not None:
        method.objective = objective
    pairs, gib = measure(method, batch, Lars(lr=0.1), loop=loop, runs=size.runs)
    figures = pairs.figures()
    return figures | {"photos_per_second": num / figures["ours_seconds"], "peak_gib": gib}


def lightly_steps(size: Size) -> Iterator[Part]:
    """The same network and step with lightly's loss in place of ours."""
    for num in size.batches:

        def run(num: int = num) -> dict[str, Any]:
            loss = lightly_loss("S")

            def objective(queries: Any, targets: Any, batch: Any) -> Any:
                return loss([query.float() for query in queries], targets, list(batch.ids))

            return step(size, "detcon_s", num, objective=objective)

        yield {"method": "detcon_s", "photos": num}, run


def lightly_loss(kind: str) -> Any:
    if find_spec("lightly") is None:
        raise NotRun("lightly isn't installed")
    return the_loss.lightly(kind)


def losses(size: Size) -> Iterator[Part]:
    """The loss alone, forward and backward, ours beside lightly's."""
    for kind, rows in product("SB", size.rows):
        yield {"loss": kind, "rows": rows}, lambda kind=kind, rows=rows: loss(kind, rows, size.runs)


def loss(kind: str, rows: int, runs: int) -> dict[str, Any]:
    """Each alone first, for its memory; then in pairs."""
    figures: dict[str, Any] = {"ours": alone("ours", kind, rows)}
    try:
        lightly_loss(kind)
        figures["lightly"] = alone("lightly", kind, rows)
    except NotRun as reason:
        return figures | {"lightly": {"not_run": str(reason)}}
    except torch.cuda.OutOfMemoryError:
        return figures | {"lightly": {"out_of_memory": True}}
    both = (the_loss.program(who, kind, rows, DEVICE) for who in ("ours", "lightly"))
    return figures | {"pairs": in_pairs(*both, runs=runs, clock=now).figures()}


def alone(who: str, kind: str, rows: int) -> dict[str, Any]:
    """Seconds of one pass after a first one, and how far it raises the peak of GPU memory."""
    run = the_loss.program(who, kind, rows, DEVICE)
    run()
    before = torch.cuda.memory_allocated() if GPU else 0
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    start = now()
    run()
    seconds = now() - start
    mib = (torch.cuda.max_memory_allocated() - before) / 2**20 if GPU else None
    return {"seconds": seconds, "mib": mib}


def data_path(size: Size) -> Iterator[Part]:
    """Photos a second from JPEGs to batches, by all cores; masks by a ResNet's clusters."""
    cores = os.cpu_count() or 1
    workers = cores if size is FULL else 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jpegs = make_photos(folder / "made", size.photo, size.photos)

        def read() -> dict[str, Any]:
            views, num = our_views(*jpegs, size.pixels), min(64, size.photos)
            ready = batches(views, batch_size=num, num_steps=size.steps, workers=workers, seed=0)
            next(ready)
            start = time.perf_counter()
            count = sum(num for _ in ready)
            return {"photos_per_second": count / (time.perf_counter() - start)}

        def cluster() -> dict[str, Any]:
            clusters = {"kind": "clusters", "encoder": "test_resnet", "side": 64}
            if size is FULL:
                clusters |= {"encoder": "resnet50", "side": 448}
            start = time.perf_counter()
            make_masks(
                images=folder / "made" / "images",
                out=folder / "clusters",
                generator=clusters,
                workers=min(cores, 4) if size is FULL else 1,
            )
            return {"photos_per_second": size.photos / (time.perf_counter() - start)}

        height, width = size.photo
        yield {"what": f"batches of JPEGs of {height} x {width}", "workers": workers}, read
        yield {"what": "masks by clusters of a ResNet"}, cluster


PARTS: dict[str, Callable[[Size], Iterator[Part]]] = {
    "tests": tests,
    "steps": steps,
    "loss": losses,
    "lightly_steps": lightly_steps,
    "data": data_path,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
