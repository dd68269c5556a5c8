"""From a view's map of masks to the regions that are pooled.

Axes: y x pixels of the view, p patterns, k masks, r regions, h w feature grid.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int64, Integer

from detcon.ops.labels import count_labels, sample_regions

Pooling = Literal["hard", "soft"]


def region_weights(
    patterns: Integer[np.ndarray, "y x"],
    membership: Bool[np.ndarray, "p k"] | None,
    grid: tuple[int, int],
    *,
    rng: np.random.Generator,
    num_regions: int = 16,
    pooling: Pooling = "hard",
    min_cells: float = 0.5,
) -> tuple[Int64[np.ndarray, " r"], Float32[np.ndarray, "r h w"]]:
    """Samples masks that a view shows, uniformly and with replacement.

    `hard`, as the official code: a cell belongs to the id that covers most of it, where "no mask"
    votes like any other id and ties go to the lowest; overlapping masks each win the cells that
    they cover at least half. A mask is present if it wins a cell. `soft`, as the paper's text: a
    mask weighs each cell by the share of its area that it covers, and is present if it covers
    at least `min_cells` cells in all.

    Args:
        patterns: The view's map: the mask of each pixel, -1 for none; or with `membership` the
            row of it.
        membership: Which masks each pattern belongs to; None if masks don't overlap.
        grid: Rows and columns of the encoder's output.
        rng: Where the draws come from.
        num_regions: How many to draw.
        pooling: `hard` or `soft`.
        min_cells: The area in cells that makes a mask present in soft pooling.

    Returns:
        The ids, and the share of each cell that each region covers. A view that shows no mask has
        ids -1 and weights 1.

    Raises:
        ValueError: If the view doesn't divide evenly into cells.
    """
    found, counts = count_labels(patterns, grid)
    cell = patterns.size // (grid[0] * grid[1])
    if pooling == "soft":
        ids, area = _areas(found, counts, membership)
        kept = area.sum((0, 1)) >= min_cells * cell
        share = area / np.float32(cell)
    else:
        ids, share = _won_cells(found, counts, membership, cell)
        kept = share.any((0, 1))
    sampled = sample_regions(np.flatnonzero(kept), num_regions, rng)
    if not kept.any():
        return sampled, np.ones((num_regions, *grid), np.float32)
    weights = np.ascontiguousarray(np.moveaxis(share[..., sampled], -1, 0), np.float32)
    return ids[sampled].astype(np.int64), weights


def _areas(
    found: Integer[np.ndarray, " n"],
    counts: Integer[np.ndarray, "h w n"],
    membership: Bool[np.ndarray, "p k"] | None,
) -> tuple[Integer[np.ndarray, " k"], Float32[np.ndarray, "h w k"]]:
    """How many pixels of each cell each mask covers."""
    if membership is None:
        is_mask = found >= 0
        return found[is_mask], counts[..., is_mask].astype(np.float32)
    member = membership[found].astype(np.float32)
    return np.arange(member.shape[1]), counts.astype(np.float32) @ member


def _won_cells(
    found: Integer[np.ndarray, " n"],
    counts: Integer[np.ndarray, "h w n"],
    membership: Bool[np.ndarray, "p k"] | None,
    cell: int,
) -> tuple[Integer[np.ndarray, " k"], Bool[np.ndarray, "h w k"]]:
    """Which cells each mask wins in hard pooling."""
    if membership is not None:
        ids, area = _areas(found, counts, membership)
        return ids, 2 * area >= cell
    winner = found[counts.argmax(-1)]
    ids = found[found >= 0]
    return ids, winner[..., None] == ids
