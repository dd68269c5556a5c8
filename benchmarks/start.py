"""How long a pretraining takes until its first batch is asked for: photos, masks, order.

python benchmarks/start.py           # five minutes, 3 GB of disk and of memory; writes a result
python benchmarks/start.py quick     # 20,000 photos and 10 tars; writes nothing
python benchmarks/start.py table     # the table of docs/survival.md

Lists of a million photos and of ten, as text, and 100 tars of 1000 photos, each with a store of
masks that covers them. Files behind the list need not exist, since nothing is read before the first
batch; those in the tars are empty. Each run is a process of its own that has imported the program
before the clock starts. Seconds are of the wall, and of the CPU, since the machine may be busy;
memory is how far the resident set rises at most, and in the end (Linux).
The first start of a set of tars walks them, header by header; later ones read the kept lists.
"""

import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from pairs import RESULTS, save

from detcon.masks import Masks
from detcon.masks.sources import Grid
from detcon.masks.store.header import begin_store, describe
from detcon.masks.store.index import write_index
from detcon.masks.store.shard import StoreEntry, pack
from detcon.photos import Photos

RUNS, SHARD_SIZE, BATCH = 3, 256, 256
STAGES = ("photos", "masks", "views", "order")

START = f"""
import json, re, sys, time
from pathlib import Path
import torch
from detcon.data.dataset import PhotoViews
from detcon.data.loader import _order
from detcon.data.recipe import ViewsRecipe
from detcon.masks.store import MaskStore
from detcon.photos import open_photos

def kibibytes(what):
    return int(re.search(what + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

views = ViewsRecipe(colour="detcon_s")
before, cpu, marks = kibibytes("VmRSS"), time.process_time(), [time.perf_counter()]
photos = open_photos(sys.argv[1])
marks.append(time.perf_counter())
store = MaskStore(sys.argv[2])
marks.append(time.perf_counter())
dataset = PhotoViews(photos, store, views, grid=(7, 7), seed=0)
marks.append(time.perf_counter())
batch = next(_order(len(dataset), {BATCH}, 0, range(10), rank=0, world=1))
marks.append(time.perf_counter())
cpu = time.process_time() - cpu
seconds = [b - a for a, b in zip(marks, marks[1:])]
after, most = kibibytes("VmRSS"), kibibytes("VmHWM")
print(json.dumps([len(dataset), *seconds, cpu, (most - before) / 1024, (after - before) / 1024]))
"""


def write_store(folder: Path, keys: list[str]) -> None:
    """A store without shards whose index lists the photos."""
    begin_store(folder, describe(Grid(), Photos("photos", "photos", keys), SHARD_SIZE))
    entry, _ = pack(Masks.from_labels(np.kron(np.eye(3, 4, dtype=int), np.ones((99, 99), int))))
    columns = {
        name: np.full(len(keys), getattr(entry, name)) for name in StoreEntry.__annotations__
    }
    shards = np.arange(len(keys)) // SHARD_SIZE
    table = pa.table({"key": pa.array(keys, pa.large_string()), "shard": shards, **columns})
    write_index(folder / "index.arrow", table)
    (folder / "unreadable.json").write_text("{}")


def write_tars(folder: Path, num: int, photos: int) -> list[str]:
    """Tars of empty files; returns their keys."""
    folder.mkdir()
    keys = []
    for shard in range(num):
        with tarfile.open(folder / f"{shard:06d}.tar", "w") as tar:
            for number in range(photos):
                name = f"{shard * photos + number:08d}.jpg"
                tar.addfile(tarfile.TarInfo(name))
                keys.append(f"{shard:06d}/{name}")
    return keys


def start(images: Path | str, masks: Path) -> dict[str, float]:
    """One start, in a process of its own."""
    words = [sys.executable, "-c", START, str(images), str(masks)]
    num, *seconds, cpu, most, after = json.loads(subprocess.check_output(words))
    stages = dict(zip(STAGES, seconds, strict=True))
    return {"photos": num, "seconds": sum(seconds), "cpu_seconds": cpu} | {
        "peak_mib": most,
        "after_mib": after,
        **{f"{name}_seconds": value for name, value in stages.items()},
    }


def starts(images: Path | str, masks: Path) -> dict[str, float]:
    """The medians of several."""
    runs = [start(images, masks) for _ in range(RUNS)]
    return {name: median(run[name] for run in runs) for name in runs[0]}


def listed(folder: Path, num: int) -> dict[str, float]:
    """A list of so many photos in no order."""
    folder.mkdir()
    keys = [f"train/n{n // 1300:08d}/n{n // 1300:08d}_{n:06d}.JPEG" for n in range(num)]
    order = np.random.default_rng(0).permutation(num)
    (folder / "list.txt").write_text("\n".join(keys[i] for i in order))
    write_store(folder / "masks", keys)
    del keys, order
    return starts(folder / "list.txt", folder / "masks")


def measure(folder: Path, *, nums: list[int], tars: int) -> dict[str, Any]:
    """Lists, and tars at first and later."""
    figures = {f"list of {num:,}": listed(folder / f"{num}", num) for num in nums}
    in_tars = write_tars(folder / "tars", tars, 1000)
    write_store(folder / "tarred", in_tars)
    pattern = f"{folder}/tars/{{{0:06d}..{tars - 1:06d}}}.tar"
    return figures | {
        "tars, first start": start(pattern, folder / "tarred"),
        "tars, later": starts(pattern, folder / "tarred"),
    }


def table() -> str:
    """Markdown, of the committed result."""
    found = json.loads((RESULTS / "start.json").read_text())["figures"]
    lines = ["| photos in | photos | CPU seconds | peak MiB | MiB after |", "|---|--:|--:|--:|--:|"]
    lines += [
        f"| {name} | {f['photos']:,} | {f['cpu_seconds']:.1f} | "
        f"{f['peak_mib']:.0f} | {f['after_mib']:.0f} |"
        for name, f in found.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    if "table" in sys.argv[1:]:
        print(table())
        sys.exit()
    quick = "quick" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        nums = [20_000, 40_000] if quick else [1_000_000, 10_000_000]
        figures = measure(Path(name), nums=nums, tars=10 if quick else 100)
    print(json.dumps(figures, indent=1) if quick else save("start", figures).read_text())
