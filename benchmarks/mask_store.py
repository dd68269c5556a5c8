"""Opening a mask store of a million photos, and finding masks in it: seconds and memory.

python benchmarks/mask_store.py         # a minute; writes a result
python benchmarks/mask_store.py quick   # 20,000 photos; writes nothing

The index is that of ImageNet's train folder in size: keys such as n01440764/n01440764_10026.JPEG,
256 photos a shard. Only the shards that are read from are written; opening looks at none. Each
run is a process of its own that has imported the store's module before the clock starts; memory
is how far opening and 1000 look-ups raise what is resident (Linux). The peer is the same keys as
a pickled dict of Python, what a store without a searchable index would load.
"""

import json
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from pairs import save

from detcon.masks import Grid, Masks
from detcon.masks.entry import Entry, pack
from detcon.masks.header import begin_store, describe, shard_path
from detcon.masks.index import index_bytes
from detcon.photos import Photos

RUNS, SHARD_SIZE, LOOK_UPS = 7, 256, 1000

OPEN = """
import json, re, sys, time
from pathlib import Path
import numpy as np
import detcon.masks.store as module
keys = json.loads(sys.argv[2])
resident = lambda: int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before, start = resident(), time.perf_counter()
store = module.MaskStore(sys.argv[1])
opened, memory = time.perf_counter() - start, resident() - before
start = time.perf_counter()
assert all(key in store for key in keys) and "none.jpg" not in store
found, after = time.perf_counter() - start, resident() - before
start = time.perf_counter()
for _ in range(200):
    store[keys[0]]
read = (time.perf_counter() - start) / 200
print(json.dumps([1e3 * opened, memory / 1024, 1e6 * found / len(keys), after / 1024, 1e6 * read]))
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
    """A store whose index lists `num` photos and whose first shard holds the first one's masks."""
    keys = [f"n{n // 1300:08d}/n{n // 1300:08d}_{n:06d}.JPEG" for n in range(num)]
    begin_store(folder, describe(Grid(), Photos("photos", "photos", keys), SHARD_SIZE))
    labels = np.kron(np.arange(12).reshape(3, 4), np.ones((125, 125), np.int64))
    entry, frame = pack(Masks.from_labels(labels))
    shard_path(folder, 0).write_bytes(frame)
    columns = {name: np.full(num, getattr(entry, name)) for name in Entry.__annotations__}
    shards = np.arange(num) // SHARD_SIZE
    table = pa.table({"key": pa.array(keys, pa.large_string()), "shard": shards, **columns})
    (folder / "index.arrow").write_bytes(index_bytes(table))
    (folder / "unreadable.json").write_text("{}")
    return keys


def run(code: str, *words: str) -> list[float]:
    return json.loads(subprocess.check_output([sys.executable, "-c", code, *words]))


def measure(folder: Path, num: int) -> dict[str, Any]:
    """Medians of fresh processes."""
    keys = write_store(folder / "store", num)
    names = ("open_ms", "open_mib", "find_us", "with_look_ups_mib", "read_us")
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


if __name__ == "__main__":
    quick = sys.argv[1:] == ["quick"]
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), 20_000 if quick else 1_000_000)
    print(json.dumps(found, indent=1) if quick else save("mask_store", found).read_text())
