"""Runs every command and every Python block of README and of the documentation's pages.

    python docs/run_blocks.py               # all pages
    python docs/run_blocks.py docs/own.md   # one page, and before it the first steps

The blocks of a page run in order, in a folder that holds small built-in scenes under the names that
the pages use, and what the first steps left. Commands get smaller settings (`SMALL`), where their
own would take hours. A block below a comment `<!-- not run: why -->` isn't run, nor are the pages of
`NOT_RUN`. A block with a language other than Python is text.
"""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import detcon
from detcon.cli import main
from detcon.config.loading import parse_overrides
from detcon.models.backbone_file import save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation

ROOT = Path(__file__).resolve().parent.parent
FIRST = "docs/start.md"
NOT_RUN = {
    "docs/performance.md": "benchmarks of many minutes; benchmarks/on_gpu.py --smoke runs in CI",
    "docs/scaling.md": "several GPUs, or a cluster",
    "docs/results.md": "hours, and data that can't be shipped",
    "benchmarks/README.md": "benchmarks of many minutes",
}
SMALL = {
    "scenes": "num=6 size=64 workers=1",
    "masks": "workers=1",
    "show": "num=1 views.size=64",
    "pretrain": "steps=2 batch_size=4 views.size=64 workers=0 label_free=null",
    "transfer": "labels=4 seeds=1 size=64",
    "transfer.*fcn": "task.steps=2 task.batch_size=2 task.crop=64",
    "transfer.*mask_rcnn": "task.steps=2 task.batch_size=2 task.size=64",
    "adapt": "weights=weights.safetensors labels=4 pretrain.steps=2 pretrain.batch_size=4 "
    "pretrain.views.size=64 pretrain.workers=0 pretrain.label_free=null transfer.size=64",
    "embed": "side=64",
    "study": "--plan",
}
"""What is appended to the commands that fit a pattern; of a setting given twice the last counts."""
_BLOCK = re.compile(r"^(?:<!-- not run: (.*?) -->\n)?```(\w*)\n(.*?)^```$", re.M | re.S)


def run_pages(names: list[str]) -> None:
    """Runs the pages, and says how many blocks ran, and which are marked."""
    ran, marked, began = 0, 0, time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        data, first = Path(folder) / "data", Path(folder) / "first"
        prepare(data)
        for name in names:
            place = first if name == FIRST else Path(folder) / "page"
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(first if first.exists() else data, place)
            blocks = _BLOCK.findall((ROOT / name).read_text("utf-8"))
            blocks = [block for block in blocks if block[1] in ("", "python")]
            names_of_page: dict[str, object] = {"__name__": name}
            since = time.process_time()
            for why, language, text in blocks:
                why = why or NOT_RUN.get(name, "")
                ran, marked = ran + (not why), marked + bool(why)
                if why:
                    print(f"{name}: not run ({why}): {text.splitlines()[0]}")
                    continue
                with chdir(place):
                    run_block(name, text, names_of_page if language else None)
            print(f"{name}: {time.process_time() - since:.0f} s")
    print(f"ran {ran} blocks, {marked} are marked; {time.process_time() - began:.0f} CPU seconds")


def run_block(page: str, text: str, names: dict[str, object] | None) -> None:
    """Runs a block of Python with the names of its page, or of commands (None); or exits."""
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            if names is None:
                for line in text.replace("\\\n", " ").splitlines():
                    run_line(line)
            else:
                exec(compile(text, page, "exec"), names)
    except (Exception, SystemExit) as error:
        print(said.getvalue())
        traceback.print_exception(error)
        sys.exit(f"\n{page}: this block failed:\n\n{text}")


def run_line(line: str) -> None:
    """Runs one line of a shell: `detcon` in this process, the rest in bash."""
    if line.startswith("detcon "):
        words = [word for word in shlex.split(line, comments=True)[1:] if word != "\\"]
        words = [file for word in words for file in (sorted(map(str, Path().glob(word))) or [word])]
        given = " ".join(words)
        for pattern, settings in SMALL.items():
            if re.match(pattern, given):
                words += settings.split()
        sys.argv = ["detcon", *words]
        main()
    elif line:
        subprocess.run(["bash", "-c", line], check=True)


def prepare(folder: Path) -> None:
    """The data that the pages name, and smaller settings for the functions that they call."""
    for verb in ("pretrain", "transfer", "adapt"):
        small = parse_overrides(SMALL[verb].split())
        setattr(detcon, verb, partial(getattr(detcon, verb), **small))
    scenes = detcon.make_scenes(out=folder / "labelled", num=12, size=96, workers=1)
    shutil.copytree(scenes / "train" / "images", folder / "photos")
    shutil.copytree(scenes / "train" / "instances", folder / "labels")
    shutil.copy(folder / "photos" / "000000.png", folder / "photo.jpg")
    recipe = EncoderRecipe(name="resnet18", width=0.125)
    save_backbone(
        folder / "weights.safetensors", build_encoder(recipe), recipe, normalisation=Normalisation()
    )


def pages() -> list[str]:
    """README, the first steps, and the other pages."""
    docs = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
    others = [name for name in docs if name != FIRST]
    return ["README.md", FIRST, *others, "CONTRIBUTING.md", "benchmarks/README.md"]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    asked = sys.argv[1:]
    run_pages([FIRST, *asked] if asked and FIRST not in asked else asked or pages())
