"""Scores of candidates: a formula, and a ranker that was trained on annotated photos.

A ranker is a set of boosted trees, kept as plain arrays in one file.

Axes: k candidates, f features, t trees, m nodes of the largest tree.
"""

from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int16

from detcon.files import copy_again, write_whole
from detcon.masks.sources.mcg.candidates import Candidates
from detcon.ops.compiled import compiled

_AREA_POWER, _FILL_POWER = 0.2, 0.15
_WEIGHT = 0.5  # of the ranker's score; the rest is the formula's. Both are scaled to a best of 1

Scorer = Callable[[Candidates, tuple[int, int]], Float64[np.ndarray, " k"]]

FEATURES: tuple[str, ...] = (
    "end", "start", "start / end", "balance", "members", "area", "perimeter", "outline",
    "mean contour", "perimeter^2 / area", "outline / sqrt(area)", "top", "left", "bottom", "right",
    "box area", "fill", "aspect", "edges",
)  # fmt: skip
"""The columns, in order: those of MCG (arXiv 1503.00848, section 7) and three of ours: start / end,
the number of members, and how many of the photo's four edges are touched."""


class RankerError(ValueError):
    """A file that is not a ranker, or was trained on other features."""


class Ranker(NamedTuple):
    """Boosted regression trees: the base and the value of each tree's leaf add up."""

    base: Float64[np.ndarray, ""]
    features: Int16[np.ndarray, "t m"]  # the feature that a node compares; -1 at leaves
    thresholds: Float32[np.ndarray, "t m"]  # candidates with at most this value go to the left
    left: Int16[np.ndarray, "t m"]  # the left child
    right: Int16[np.ndarray, "t m"]  # the right child
    values: Float32[np.ndarray, "t m"]  # of leaves


def choose_score(path: str | None) -> Scorer:
    """The formula, or its mean with the ranker in a file."""
    if path is None:
        return score_by_formula
    ranker = load_ranker(path)

    def score(candidates: Candidates, size: tuple[int, int]) -> Float64[np.ndarray, " k"]:
        formula = score_by_formula(candidates, size)
        learned = predict(ranker, find_features(candidates, size)).clip(0)
        return (1 - _WEIGHT) * _of_best(formula) + _WEIGHT * _of_best(learned)

    return score


def score_by_formula(candidates: Candidates, size: tuple[int, int]) -> Float64[np.ndarray, " k"]:
    """The height at which a candidate merges, times small powers of its area and its box's fill.

    `size` is height and width of the map of superpixels.
    """
    shares = candidates.areas / (size[0] * size[1])
    fills = candidates.areas / candidates.box_areas
    return candidates.ends * shares**_AREA_POWER * fills**_FILL_POWER


def find_features(candidates: Candidates, size: tuple[int, int]) -> Float32[np.ndarray, "k f"]:
    """Features of candidates, independent of the photo's resolution and contrast.

    Areas are divided by the photo's pixels, lengths by the root of these, heights by the median of
    ends, contours by the median of mean contours. `size` is that of the superpixels' map.
    """
    height, width = size
    pixels = height * width
    side = np.sqrt(pixels)
    areas, boxes = candidates.areas, candidates.boxes
    high = _middle(candidates.ends)
    means = candidates.outlines / np.maximum(candidates.perimeters, 1)
    strong = _middle(means)
    outlines = candidates.outlines / strong
    tall, wide = (boxes[:, 2:] - boxes[:, :2] + 1).T
    edges = (boxes[:, :2] == 0).sum(1) + (boxes[:, 2:] == (height - 1, width - 1)).sum(1)
    columns = [
        candidates.ends / high,
        candidates.starts / high,
        candidates.starts / np.maximum(candidates.ends, 1e-12),
        candidates.balances,
        (candidates.members >= 0).sum(1),
        areas / pixels,
        candidates.perimeters / side,
        outlines / side,
        means / strong,
        candidates.perimeters**2 / areas,
        outlines / np.sqrt(areas),
        *(boxes / (height, width, height, width)).T,
        candidates.box_areas / pixels,
        areas / candidates.box_areas,
        tall / (tall + wide),
        edges,
    ]
    return np.stack(columns, 1).astype(np.float32)


def predict(ranker: Ranker, features: Float32[np.ndarray, "k f"]) -> Float64[np.ndarray, " k"]:
    """The best overlap with an object that the ranker expects of each candidate."""
    return _predict(float(ranker.base), *ranker[1:], features)


def save_ranker(ranker: Ranker, path: str | Path) -> None:
    """Writes a ranker as an `.npz`; the same ranker gives the same bytes."""
    file = BytesIO()
    np.savez_compressed(file, names=np.array(FEATURES), **ranker._asdict())
    write_whole(Path(path), file.getvalue())


@lru_cache(maxsize=4)
def load_ranker(path: str) -> Ranker:
    """Reads a ranker, once in a process."""
    try:
        with np.load(path, allow_pickle=False) as file:
            names = tuple(file["names"].tolist())
            ranker = Ranker(*(file[name] for name in Ranker._fields))
    except FileNotFoundError as error:
        raise RankerError(
            f"there is no ranker {path}; make one with detcon train-ranker, or leave "
            f"generator.ranker out"
        ) from error
    except Exception as error:  # zipfile, zlib and numpy have exceptions of their own
        raise RankerError(
            f"{path} is no ranker of detcon train-ranker; "
            f"{copy_again(Path(path), otherwise='make one')}, or leave generator.ranker out"
        ) from error
    if names != FEATURES:
        raise RankerError(
            f"the ranker {path} was trained on {len(names)} features, which aren't the "
            f"{len(FEATURES)} of this version; train it again with detcon train-ranker"
        )
    return ranker


@compiled
def _predict(base, nodes, thresholds, left, right, values, features):
    found = np.full(len(features), base)
    for k in range(len(features)):
        for tree in range(len(nodes)):
            node = 0
            while nodes[tree, node] >= 0:
                if features[k, nodes[tree, node]] <= thresholds[tree, node]:
                    node = left[tree, node]
                else:
                    node = right[tree, node]
            found[k] += values[tree, node]
    return found


def _of_best(scores: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
    return scores / (scores.max(initial=0.0) or 1.0)


def _middle(values: np.ndarray) -> float:
    """The median; 1 where there is no contrast at all."""
    return float(np.median(values)) or 1.0
