"""Pictures that a small network learns in seconds, in the true layouts of known data sets.

Squares of two colours on a ground beneath a wall; the nearer, the brighter.
"""

from pathlib import Path

import numpy as np

from detcon.formats.registry import open_layout
from detcon.formats.writing.scenes import ScenePicture, ScenesPlan

NAMES = ("ground", "wall", "red", "blue")
COLOURS = np.array([(90, 110, 90), (190, 190, 180), (230, 40, 40), (40, 40, 230)], np.float32)
SIZE = 64


def draw(rng: np.random.Generator, size: int = SIZE) -> ScenePicture:
    """A wall above, a ground below, two or three squares; squares are at 1 to 4 metres."""
    labels = np.zeros((size, size), np.uint8)
    labels[: size // 2] = 1
    rows = np.linspace(6, 3, size, dtype=np.float32)[:, None]
    depth = np.broadcast_to(rows, (size, size)).copy()
    instances = np.zeros((size, size), np.uint16)
    for number in range(rng.integers(2, 4)):
        side = int(rng.integers(size // 5, size // 3))
        top, left = rng.integers(0, size - side, 2)
        place = slice(top, top + side), slice(left, left + side)
        labels[place] = 2 + rng.integers(2)
        depth[place] = rng.uniform(1, 4)
        instances[place] = number + 1
    found = np.unique(instances[instances > 0])  # one may be hidden by the others
    instances = np.searchsorted(np.array([0, *found]), instances).astype(np.uint16)
    shade = 0.4 + 0.6 * (1 - depth / 6)
    rgb = COLOURS[labels] * shade[..., None] + rng.normal(0, 6, (size, size, 3))
    return ScenePicture(rgb.clip(0, 255).astype(np.uint8), instances, labels, depth)


def write_toys(root: Path, format: str, *, num_train: int = 48, num_val: int = 8) -> Path:
    """Writes train and val; always the same pictures."""
    layout = open_layout(root, format, ScenesPlan(NAMES, num_train, has_depth=True))
    rng = np.random.default_rng(0)
    for split, num in (("train", num_train), ("val", num_val)):
        layout.finish(split, [layout.save(split, number, draw(rng)) for number in range(num)])
    return root
