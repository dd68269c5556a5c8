"""Masks of ImageNet: core-hours for its 1,281,167 training photos, from 2,000 of their size.

OMP_NUM_THREADS=1 python benchmarks/imagenet_masks.py                     # two minutes
OMP_NUM_THREADS=1 python benchmarks/imagenet_masks.py images=[DIR,DIR]    # of these photos
OMP_NUM_THREADS=1 python benchmarks/imagenet_masks.py quick               # 80; writes nothing
python benchmarks/imagenet_masks.py table                                 # the result as Markdown

Two thousand JPEGs of 500 x 375 pixels, cut from real photos (`images=`) or from drawn pictures.
`make_masks` lists, reads, decodes, segments, packs and writes them, FH and MCG at their recipes'
settings; scikit-image's FH segments every tenth of them, decoded but not stored. They take turns,
in four rounds, in CPU time of one process with one thread, compiling left out; the spread is that
of the rounds. Waiting for a disk or a network isn't counted.

The official script's figure is its README's (github.com/google-deepmind/detcon): "2-3 days on a
16-core CPU machine", not named, for the training and validation photos, 4 % more, as they are; it
copies the photos into its records too. Taken here as all its cores for so long.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import cv2
import numpy as np
from jpegs import make_photos
from pairs import RESULTS, asked, save
from skimage.segmentation import felzenszwalb

from detcon.masks.store.fill import make_masks
from detcon.photos import open_photos, resize

IMAGENET, SIZE, ROUNDS = 1_281_167, (375, 500), 4
OFFICIAL_HOURS = [16 * 24 * days for days in (2, 3)]
OURS = {"FH": "recipes/masks/felzenszwalb.yaml", "MCG": "recipes/masks/mcg.yaml"}
PEER, PEERS_SHARE = "FH of scikit-image", 10
QUALITY = 95  # some 100 kB a photo, as ImageNet's have


def cut_photos(sources: list[str], out: Path, num: int) -> None:
    """Writes `num` JPEGs, cut at random from the photos of `sources` in turn, in equal folders."""
    rng, (height, width) = np.random.default_rng(0), SIZE
    read = [(photos, key) for photos in map(open_photos, sources) for key in photos]
    for number in range(num):
        photos, key = read[number * len(read) // num]
        photo = photos.read(key)
        largest = min(photo.shape[0] / height, photo.shape[1] / width)
        h, w = (int(side * largest * rng.uniform(0.9, 1)) for side in SIZE)
        y, x = (int(rng.integers(side - part + 1)) for side, part in zip(photo.shape, (h, w)))
        how = cv2.INTER_AREA if h >= height else cv2.INTER_CUBIC
        photo = resize(photo[y : y + h, x : x + w], (width, height), how)
        path = out / str(number % ROUNDS) / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(
            str(path), photo[:, :: rng.choice([-1, 1]), ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        )


def segment(images: Path) -> int:
    """scikit-image's masks of a share of the photos."""
    photos = open_photos(images)
    keys = photos.keys[::PEERS_SHARE]
    for key in keys:
        felzenszwalb(photos.read(key), scale=1000, min_size=1000)
    return len(keys)


def fill(recipe: str, images: Path, out: Path) -> int:
    """Our masks of all photos."""
    make_masks(recipe, images=images, out=out, workers=1)
    return len(open_photos(images))


def timed(run: Callable[[], int]) -> float:
    """CPU milliseconds a photo."""
    start = process_time()
    num = run()
    return 1000 * (process_time() - start) / num


def measure(folder: Path, images: list[str], num: int) -> dict[str, Any]:
    """All three in turn, round by round."""
    cut_photos(images, folder / "photos", num)
    for recipe in OURS.values():
        make_masks(recipe, images=images[0], out=folder / "warm" / Path(recipe).stem, workers=1)
    spent: dict[str, list[float]] = {name: [] for name in (*OURS, PEER)}
    for number in range(ROUNDS):
        part = folder / "photos" / str(number)
        for name, recipe in OURS.items():
            out = folder / name / str(number)
            spent[name].append(timed(lambda r=recipe, p=part, o=out: fill(r, p, o)))
        spent[PEER].append(timed(lambda p=part: segment(p)))
    sizes = {name: sum(p.stat().st_size for p in (folder / name).rglob("*") if p.is_file())
             for name in ("photos", *OURS)}  # fmt: skip
    return {
        "photos": num,
        "jpeg_bytes_a_photo": sizes["photos"] / num,
        "ms_a_photo": {name: sum(ms) / ROUNDS for name, ms in spent.items()},
        "ms_by_round": spent,
        "core_hours": {name: sum(ms) / ROUNDS * IMAGENET / 3.6e6 for name, ms in spent.items()},
        "store_gigabytes": {name: sizes[name] / num * IMAGENET / 1e9 for name in OURS},
        "official_core_hours": OFFICIAL_HOURS,
    }


def table(figures: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = ["| masks | CPU ms a photo | least to greatest round | core-hours | store |"]
    lines.append("|---|--:|--:|--:|--:|")
    for name, ms in figures["ms_a_photo"].items():
        rounds, hours = figures["ms_by_round"][name], figures["core_hours"][name]
        spread = f"{min(rounds):.1f} to {max(rounds):.1f}"
        size = figures["store_gigabytes"].get(name)
        store = f"{size:.1f} GB" if size else ""
        lines.append(f"| {name} | {ms:.1f} | {spread} | {hours:.1f} | {store} |")
    low, high = figures["official_core_hours"]
    lines.append(f"| FH, the official script, as its README says | | | {low} to {high} | |")
    return "\n".join(lines)


def main(words: list[str]) -> None:
    if words == ["table"]:
        print(table(json.loads((RESULTS / "imagenet_masks.json").read_text())["figures"]))
        return
    cv2.setNumThreads(1)
    images = asked("images")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not images:
            make_photos(folder / "drawn", (600, 800), 40)
            images = [str(folder / "drawn" / "images")]
        found = measure(folder, images, 80 if "quick" in words else 2000)
    print(table(found))
    if "quick" not in words:
        print(save("imagenet_masks", found))


if __name__ == "__main__":
    main(sys.argv[1:])
