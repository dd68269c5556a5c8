"""Runs every command and every Python block of README and of the documentation's pages.

    python docs/run_blocks.py               # all pages
    python docs/run_blocks.py docs/own.md   # the first steps, and one page

The blocks of a page run in order, in a folder with small built-in scenes under the names that the
pages use, and with what the first steps left. Commands whose own settings would take hours get
smaller ones (`SMALL`). A block below a comment `<!-- not run: why -->` isn't run, nor are the pages
of `NOT_RUN`. A block in another language than Python is text.
"""

import io
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
from glob import glob
from pathlib import Path
from types import ModuleType

import detcon
from detcon.cli import main
from detcon.config.loading import parse_overrides
from detcon.models.backbone_file import save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests" / "formats"))
import drawn_layouts  # noqa: E402  small data sets as annotation tools write them

FIRST = "docs/start.md"
NOT_RUN = {
    "docs/performance_history.md": "benchmarks of many minutes",
    "docs/scaling.md": "several GPUs, or a cluster",
    "docs/results.md": "hours, and data that can't be shipped",
    "benchmarks/README.md": "benchmarks of many minutes",
}
SMALL = {
    "scenes": "num=6 size=64 workers=1",
    "masks": "workers=1",
    "convert": "workers=1",
    "show": "num=1 views.size=64",
    "pretrain": "steps=2 batch_size=4 views.size=64 workers=0 label_free=null",
    "pretrain.*teacher": "method.teacher=weights.safetensors",
    "transfer": "labels=3 seeds=1 size=64",
    "transfer.*fcn": "task.steps=2 task.batch_size=2 task.crop=64",
    "transfer.*resnet50": "encoder.width=0.125",
    "transfer.*mask_rcnn": "task.steps=2 task.batch_size=2 task.detector.channels=16 "
    "task.detector.hidden=32 task.detector.mask_layers=1",
    "adapt": "weights=weights.safetensors labels=3 seeds=1 pretrain.steps=2 pretrain.batch_size=4 "
    "pretrain.views.size=64 pretrain.workers=0 pretrain.label_free=null transfer.size=64",
    "adapt(?!.*folder_linear)": "transfer.task.steps=2 transfer.task.batch_size=2 "
    "transfer.task.crop=64",
    "embed": "side=64",
    "study": "--plan",
}
"""What is appended to the commands that fit a pattern; of a setting given twice the last counts."""
TRUNK = """import torch


def trunk():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 32, 32), torch.nn.ReLU())
"""
BLOCK = re.compile(r"^(?:<!-- not run: (.*?) -->\n)?```(\w*)\n(.*?)^```$", re.M | re.S)


def run_pages(names: list[str]) -> None:
    """Runs the pages, and says how many blocks ran, and which are marked."""
    ran = marked = 0
    with tempfile.TemporaryDirectory() as folder:
        data, first, place = (Path(folder) / name for name in ("data", "first", "page"))
        prepare(data)
        for name in names:
            began = time.process_time()
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(first if first.exists() else data, place, symlinks=True)
            sys.modules["page"] = page = ModuleType("page")  # its functions can be imported
            for why, language, text in BLOCK.findall((ROOT / name).read_text("utf-8")):
                if language not in ("", "python"):
                    continue
                why = why or NOT_RUN.get(name, "")
                ran, marked = ran + (not why), marked + bool(why)
                if why:
                    print(f"{name}: not run, {why}: {text.splitlines()[0]}")
                else:
                    with chdir(place):
                        run_block(name, text, page if language else None)
            print(f"{name}: {time.process_time() - began:.0f} CPU seconds", flush=True)
            if name == FIRST:
                shutil.copytree(place, first, symlinks=True)
    print(f"ran {ran} blocks, {marked} are marked; {time.process_time():.0f} CPU seconds")


def run_block(name: str, text: str, page: ModuleType | None) -> None:
    """Runs a block of Python in the module of its page, or one of commands (None); or exits."""
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            if page is not None:
                exec(compile(text, name, "exec"), page.__dict__)
            else:
                for line in text.replace("\\\n", " ").splitlines():
                    run_line(line)
    except (Exception, SystemExit) as error:
        print(said.getvalue())
        if not isinstance(error, SystemExit):
            traceback.print_exception(error)
        sys.exit(f"{name}: this block failed:\n\n{text}")


def run_line(line: str) -> None:
    """Runs one line of a shell: `detcon` in this process, the rest in bash."""
    given = shlex.split(line, comments=True)
    if given[:1] != ["detcon"]:
        subprocess.run(["bash", "-c", line], check=True)
        return
    words = [found for word in given for found in sorted(glob(word)) or [word]]
    for pattern, settings in SMALL.items():
        if re.match(pattern, " ".join(given[1:])):
            words += settings.split()
    sys.argv = words
    main()


def prepare(folder: Path) -> None:
    """The data that the pages name, and smaller settings for the functions that they call."""
    for verb in ("pretrain", "transfer", "adapt"):
        words = " ".join(value for pattern, value in SMALL.items() if re.match(pattern, verb))
        small = parse_overrides(words.split())
        setattr(detcon, verb, partial(getattr(detcon, verb), **small))
    scenes = detcon.make_scenes(out=folder / "labelled", num=12, size=96, workers=1)
    shutil.copytree(scenes / "train" / "images", folder / "photos")
    shutil.copytree(scenes / "train" / "instances", folder / "labels")
    shutil.copy(folder / "photos" / "000000.png", folder / "photo.jpg")
    for name in ("coco", "voc", "nyu"):
        place = "VOCdevkit" if name == "voc" else name
        detcon.make_scenes(out=folder / place, num=4, size=64, format=name, workers=1)
    for name in ("yolo", "voc_xml", "labelme", "cvat", "via"):
        getattr(drawn_layouts, name)(folder / name)
    for file in (folder / "labelme").glob("*/*"):  # a folder without splits
        file.rename(folder / "labelme" / file.name)
    recipe = EncoderRecipe(name="resnet18", width=0.125)
    encoder, usual = build_encoder(recipe), Normalisation()
    save_backbone(folder / "weights.safetensors", encoder, recipe, normalisation=usual)
    (folder / "my_package").mkdir()
    (folder / "my_package" / "trunks.py").write_text(TRUNK)
    shutil.copy(ROOT / "examples" / "your_own_task.py", folder)
    sys.path.insert(0, "")
    (folder / "studies").symlink_to(ROOT / "studies")


def pages() -> list[str]:
    """README, the first steps, and the other pages."""
    docs = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
    others = [name for name in docs if name != FIRST]
    return ["README.md", FIRST, *others, "CONTRIBUTING.md", "benchmarks/README.md"]


if __name__ == "__main__":
    asked = sys.argv[1:]
    run_pages([FIRST, *asked] if asked else pages())
