"""A mask store: its bytes a photo, reading from it, and opening one of a million photos.

python benchmarks/mask_store.py                                   # two minutes; writes a result
python benchmarks/mask_store.py images=BSDS500/images/val         # on these photos
python benchmarks/mask_store.py quick                             # 20,000 photos; writes nothing

Bytes are those of all files of a store, divided by its photos; without `images=` they are those
of 24 drawn pictures of 481 x 321. To decode is to make a photo's masks from the bytes of its
entry; to read is `store[key]`, which finds, reads and decodes. Both in CPU time of one thread.

The index of a million is that of ImageNet's train folder in size: keys such as
n01440764/n01440764_10026.JPEG, 256 photos a shard. No shard is written; opening looks at none.
Each run is a process of its own that has imported the store's module before the clock starts;
memory is how far opening and 1000 look-ups raise what is resident (Linux). The peer is the same
keys as a pickled dict of Python, what a store without a searchable index would load.
"""

import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from itertools import starmap
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import pyarrow as pa
from jpegs import make_photos
from pairs import asked, save

from detcon.masks import Masks
from detcon.masks.sources import Grid
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.masks.store.header import begin_store, describe
from detcon.masks.store.index import write_index
from detcon.masks.store.shard import StoreEntry, pack, unpack
from detcon.photos import Photos

RUNS, SHARD_SIZE, LOOK_UPS = 7, 256, 1000

SOURCES = ("felzenszwalb", "mcg")

OPEN = """
import json, re, sys, time
from pathlib import Path
import numpy as np
import detcon.masks.store.mask_store as module
keys = json.loads(sys.argv[2])
resident = lambda: int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before, start = resident(), time.perf_counter()
store = module.MaskStore(sys.argv[1])
opened, memory = time.perf_counter() - start, resident() - before
start = time.perf_counter()
assert all(key in store for key in keys) and "none.jpg" not in store
found, after = time.perf_counter() - start, resident() - before
print(json.dumps([1e3 * opened, memory / 1024, 1e6 * found / len(keys), after / 1024]))
"""

DICT = """
import json, pickle, re, sys, time
from pathlib import Path
resident = lambda: int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before, start = resident(), time.perf_counter()
index = pickle.loads(Path(sys.argv[1]).read_bytes())
print(json.dumps([1e3 * (time.perf_counter() - start), (resident() - before) / 1024]))
"""


def write_store(folder: Path, num: int) -> list[str]:
    """A store without shards whose index lists `num` photos."""
    keys = [f"n{n // 1300:08d}/n{n // 1300:08d}_{n:06d}.JPEG" for n in range(num)]
    begin_store(folder, describe(Grid(), Photos("photos", "photos", keys), SHARD_SIZE))
    labels = np.kron(np.arange(12).reshape(3, 4), np.ones((125, 125), np.int64))
    entry, _ = pack(Masks.from_labels(labels))
    columns = {name: np.full(num, getattr(entry, name)) for name in StoreEntry.__annotations__}
    shards = np.arange(num) // SHARD_SIZE
    table = pa.table({"key": pa.array(keys, pa.large_string()), "shard": shards, **columns})
    write_index(folder / "index.arrow", table)
    (folder / "unreadable.json").write_text("{}")
    return keys


def run(code: str, *words: str) -> list[float]:
    return json.loads(subprocess.check_output([sys.executable, "-c", code, *words]))


def measure_photos(images: str, folder: Path) -> dict[str, Any]:
    """Bytes and milliseconds a photo, by source of masks at the settings of its recipe."""
    figures = {}
    for source in SOURCES:
        recipe, out = f"recipes/masks/{source}.yaml", folder / source
        store = MaskStore(make_masks(recipe, images=images, out=out, workers=1))
        keys, size = store.keys(), sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
        packed = [pack(store[key]) for key in keys]
        decode = median(timed(starmap(unpack, packed)) for _ in range(RUNS))
        read = median(timed(map(store.__getitem__, keys)) for _ in range(RUNS))
        figures[source] = {
            "photos": len(keys),
            "bytes_a_photo": size / len(keys),
            "masks_a_photo": sum(entry.num_masks for entry, _ in packed) / len(keys),
            "decode_ms": 1e3 * decode / len(keys),
            "read_ms": 1e3 * read / len(keys),
        }
    return figures


def timed(results: Iterable[Masks]) -> float:
    """CPU seconds until the last; none is kept, as in training."""
    start = process_time()
    for _ in results:
        pass
    return process_time() - start


def measure_opening(folder: Path, num: int) -> dict[str, Any]:
    """Medians of fresh processes."""
    keys = write_store(folder / "store", num)
    names = ("open_ms", "open_mib", "find_us", "with_look_ups_mib")
    places = np.random.default_rng(0).integers(num, size=LOOK_UPS - 1).tolist()
    asked = json.dumps([keys[0], *(keys[i] for i in places)])
    runs = [run(OPEN, str(folder / "store"), asked) for _ in range(RUNS)]
    figures: dict[str, Any] = {name: median(col) for name, col in zip(names, zip(*runs))}
    peer = {key: (n, 0, 0, 0, 375, 500) for n, key in enumerate(keys)}
    (folder / "dict").write_bytes(pickle.dumps(peer))
    runs = [run(DICT, str(folder / "dict")) for _ in range(3)]
    figures |= {f"dict_{name}": median(col) for name, col in zip(names, zip(*runs))}
    size = (folder / "store" / "index.arrow").stat().st_size
    return {**figures, "photos": num, "index_bytes_a_photo": size / num, "look_ups": LOOK_UPS}


def measure(folder: Path, images: str | None, num: int) -> dict[str, Any]:
    """Both; `images` or drawn pictures, and an index of `num` photos."""
    if images is None:
        make_photos(folder / "drawn", (321, 481), 24)
        images = str(folder / "drawn" / "images")
    name = (
        "drawn, 481 x 321" if folder in Path(images).parents else "/".join(Path(images).parts[-3:])
    )
    by_source = {"images": name, **measure_photos(images, folder)}
    return {"photos": by_source, "opening": measure_opening(folder, num)}


if __name__ == "__main__":
    quick = "quick" in sys.argv[1:]
    images = next(iter(asked("images")), None)
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), images, 20_000 if quick else 1_000_000)
    print(json.dumps(found, indent=1) if quick else save("mask_store", found).read_text())
