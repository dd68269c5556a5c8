"""The features of a candidate that a ranker uses.

Axes: k candidates, f features.
"""

import numpy as np
from jaxtyping import Float32

from detcon.masks.sources.mcg.candidates import Candidates

FEATURES: tuple[str, ...] = (
    "end", "start", "start / end", "balance", "members", "area", "perimeter", "outline",
    "mean contour", "perimeter^2 / area", "outline / sqrt(area)", "top", "left", "bottom", "right",
    "box area", "fill", "aspect", "edges",
)  # fmt: skip
"""The columns, in order: those of MCG (arXiv 1503.00848, section 7), and the share of the start in
the end, how many members there are, and how many of the photo's four edges are reached."""


def find_features(candidates: Candidates, size: tuple[int, int]) -> Float32[np.ndarray, "k f"]:
    """Features that are independent of the photo's resolution and contrast.

    Lengths are shares of the root of the photo's pixels, areas of its pixels; heights are divided
    by the median of ends, contours by the median of mean contours.

    Args:
        candidates: At least one.
        size: Height and width of the superpixels' map.
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


def _middle(values: np.ndarray) -> float:
    """The median; 1 where there is no contrast at all."""
    return float(np.median(values)) or 1.0
