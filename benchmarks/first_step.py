"""From the command to the first step: `detcon pretrain` beside `import torch, torchvision`.

python benchmarks/first_step.py                 # two minutes; writes a result
python benchmarks/first_step.py before=FOLDER   # beside another version too: a checkout of it
python benchmarks/first_step.py quick           # two rounds; writes nothing
python benchmarks/first_step.py table           # the table of docs/performance.md

64 built-in scenes of 128 pixels with their masks, the network and method of the demo, 16 photos a
batch, no worker processes, compiled loops in their cache. Processor seconds of the process, one
thread, so that a busy machine disturbs less: until the imports are done, and until the run has
written the figures of its first step. Ways take turns.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from pairs import RESULTS, save

from detcon import make_masks, make_scenes

IMPORTS = "import time, torch, torchvision; print(time.process_time())"
HERE = Path(__file__).parents[1]


def seconds_to_imports(_: Path) -> float:
    """What the two libraries take."""
    return float(subprocess.check_output([sys.executable, "-c", IMPORTS]))


def seconds_to_first_step(data: Path, version: Path = HERE) -> float:
    """What a pretraining of one step takes until it has written its figures."""
    with tempfile.TemporaryDirectory(dir=data) as out:
        settings = {"images": data / "scenes/train/images", "masks": data / "masks", "out": out}
        settings |= {"steps": 1, "batch_size": 16, "workers": 0, "loop.log_every": 1}
        words = [f"{name}={value}" for name, value in settings.items()]
        run = subprocess.Popen(
            [sys.executable, "-m", "detcon", "pretrain", "demo_detcon_s", *words],
            env={**os.environ, "PYTHONPATH": str(version / "src")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        figures = Path(out) / "metrics.jsonl"
        while not (figures.is_file() and figures.stat().st_size):
            time.sleep(0.005)
            if run.poll():
                raise SystemExit("the pretraining failed; run it yourself to see why")
        spent = Path(f"/proc/{run.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        run.wait()
    return sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")


def measure(before: Path | None, pairs: int) -> dict[str, Any]:
    """Seconds of each way, in turns, and the ratios of each round to the imports' time."""
    ways = {"import torch, torchvision": seconds_to_imports, "first step": seconds_to_first_step}
    if before:
        ways["first step, before"] = lambda data: seconds_to_first_step(data, before)
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        make_scenes(out=data / "scenes", num=64, size=128)
        images = data / "scenes/train/images"
        make_masks("felzenszwalb_small", images=images, out=data / "masks", workers=1)
        rounds = [{way: run(data) for way, run in ways.items()} for _ in range(pairs + 1)][1:]
    floor = next(iter(ways))
    return {
        way: {
            "seconds": median(one[way] for one in rounds),
            **_spread([one[way] / one[floor] for one in rounds]),
        }
        for way in ways
    }


def _spread(ratios: list[float]) -> dict[str, float]:
    return {"ratio": median(ratios), "least_ratio": min(ratios), "greatest_ratio": max(ratios)}


def table() -> str:
    """Markdown, of the committed result."""
    found = json.loads((RESULTS / "first_step.json").read_text())["figures"]
    lines = ["| until | seconds | ÷ the imports | least to greatest |", "|---|--:|--:|--:|"]
    lines += [
        f"| {way} | {f['seconds']:.2f} | {f['ratio']:.2f} | "
        f"{f['least_ratio']:.2f} to {f['greatest_ratio']:.2f} |"
        for way, f in found.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    words = sys.argv[1:]
    if "table" in words:
        print(table())
        sys.exit()
    before = next((Path(word[7:]).resolve() for word in words if word.startswith("before=")), None)
    figures = measure(before, pairs=2 if "quick" in words else 5)
    print(json.dumps(figures, indent=1) if "quick" in words else save("first_step", figures))
