"""Felzenszwalb-Huttenlocher segments: whether they are scikit-image's, pixel for pixel.

python benchmarks/same_segments.py                              # two minutes; writes a result
python benchmarks/same_segments.py images=[DIR/train,DIR/val]   # these photos too
python benchmarks/same_segments.py table                        # the result as Markdown

Pictures are the sample photos that lie in the installed packages of scikit-image and scikit-learn,
drawings and noise made here, and the photos of any folders given; each at three settings. A map
counts as the same if every pixel has scikit-image's number.
"""

import json
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pairs import RESULTS, asked, save
from skimage.segmentation import felzenszwalb

from detcon.masks.sources.graph_segments import segment_photo
from detcon.photos import open_photos

SETTINGS = [(1000.0, 1000), (300.0, 300), (100.0, 20)]
SAMPLES = {"scikit-image": "skimage/data", "scikit-learn": "sklearn/datasets/images"}
Pictures = Iterator[np.ndarray]


def samples(package: str, folder: str) -> Pictures:
    """The photos that an installed package brings, as they are in their files."""
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None, f"{package} is installed"
    for path in sorted((Path(spec.origin).parents[1] / folder).iterdir()):
        if path.suffix in (".png", ".jpg"):
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
            assert picture is not None
            yield picture


def drawn() -> dict[str, Pictures]:
    """Noise, one colour, boards, lines, and pictures of other than three channels."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:120, :160]
    boards = [((y // side + x // side) % 2 * 255).astype(np.uint8) for side in (1, 2, 8, 40)]
    [photo] = [rng.integers(0, 256, (30, 40, 5), dtype=np.uint8)]
    photo = cv2.resize(photo[..., :4], (200, 150)), cv2.resize(photo[..., 4], (200, 150))
    photo = np.dstack(photo)
    sizes = [(1, 1), (1, 2), (2, 1), (1, 7), (1, 300), (300, 1), (2, 500)]
    return {
        "noise": (rng.integers(0, top, (120, 160, 3), dtype=np.uint8) for top in (2, 3, 9, 256)),
        "one colour": (np.full((120, 160, 3), level, np.uint8) for level in (0, 7, 255)),
        "checkerboards": (np.dstack([board] * 3) for board in boards),
        "1 x n, n x 1": (rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes),
        "2 x 2": (rng.integers(0, 256, (2, 2, 3), dtype=np.uint8) for _ in range(20)),
        "grey": (photo[..., c : c + 1] for c in range(5)),
        "5 channels": iter([photo, photo[::-1, :, ::-1]]),
    }


def compare(pictures: Pictures) -> dict[str, int]:
    """How many maps there were, and how many are the same."""
    maps = same = 0
    for picture in pictures:
        for pair, ours in zip(SETTINGS, segment_photo(picture, SETTINGS), strict=True):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of more than three channels
                theirs = felzenszwalb(picture, scale=pair[0], min_size=pair[1])
            same += bool(np.array_equal(ours, theirs))
            maps += 1
    return {"pictures": maps // len(SETTINGS), "maps": maps, "same": same}


def measure(folders: list[str]) -> dict[str, Any]:
    """Every source of pictures."""
    sources = {name: samples(folder.partition("/")[0], folder) for name, folder in SAMPLES.items()}
    sources |= drawn()
    for folder in folders:
        photos = open_photos(folder)
        sources["/".join(Path(folder).parts[-3:])] = map(photos.read, photos.keys)
    return {name: compare(pictures) for name, pictures in sources.items()}


def table(figures: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = ["| pictures | number | maps | the same |", "|---|--:|--:|--:|"]
    for name, one in figures.items():
        lines.append(f"| {name} | {one['pictures']} | {one['maps']} | {one['same']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:] == ["table"]:
        print(table(json.loads((RESULTS / "same_segments.json").read_text())["figures"]))
    else:
        found = measure(asked("images"))
        print(table(found), save("same_segments", found), sep="\n")
