"""Samples regions from a view's map of masks.

Axes: y x pixels of the view, p patterns, k masks, r regions, h w feature grid.
"""

import math

import numpy as np
from jaxtyping import Bool, Float32, Int64, Integer

from detcon.data.recipe import Pooling
from detcon.ops.compiled import compiled
from detcon.ops.labels import count_labels, sample_regions

_DISJOINT = np.zeros((0, 0), bool)  # instead of None, for which all would be compiled twice


def region_weights(
    patterns: Integer[np.ndarray, "y x"],
    membership: Bool[np.ndarray, "p k"] | None,
    grid: tuple[int, int],
    *,
    rng: np.random.Generator,
    num_regions: int = 16,
    pooling: Pooling = "hard",
    min_cells: float = 0.5,
    places: tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " n"]] | None = None,
    least_cells: int = 1,
    also: Integer[np.ndarray, " i"] | None = None,
) -> tuple[Int64[np.ndarray, " r"], Float32[np.ndarray, "r h w"]]:
    """Samples masks that a view shows, uniformly and with replacement.

    `hard`, as the official code: a cell belongs to the id that covers most of it, where "no mask"
    votes like any other id and ties go to the lowest; overlapping masks each win the cells that
    they cover at least half. A mask is present if it wins a cell.

    `soft`, as the paper's text: a mask weighs each cell by the share of its area that it covers,
    and is present if it covers at least `min_cells` cells in all.

    Args:
        patterns: The view's map: the mask of each pixel, -1 for none; or with `membership` the
            row of it. The photo's map, where `places` are given.
        membership: Which masks each pattern belongs to; None if masks don't overlap.
        grid: Rows and columns of the encoder's output.
        min_cells: The area in cells that makes a mask present in soft pooling.
        places: The row and the column of the map that each of the view's is.
        least_cells: A mask that has a share of fewer cells isn't present.
        also: Masks that are drawn as well where they aren't present, with weights 0; None for none.

    Returns:
        The ids, and the share of each cell that each region covers. A view that shows no mask has
        ids -1 and weights 1.

    Raises:
        ValueError: If the view doesn't divide evenly into cells.
    """
    found, counts = count_labels(patterns, grid, *(places or (None, None)))
    overlapping, soft = membership is not None, pooling == "soft"
    table = _DISJOINT if membership is None else membership
    ids, shares = _shares(found, counts, table, overlapping, soft, min_cells)
    if least_cells > 1:
        large = (shares > 0).sum((1, 2)) >= least_cells
        ids, shares = ids[large], shares[large]
    if also is not None:
        ids, shares = _with_absent(ids, shares, also)
    sampled = sample_regions(np.arange(len(ids)), num_regions, rng)
    if not len(ids):
        return sampled, np.ones((num_regions, *grid), np.float32)
    return ids[sampled], shares[sampled]


def region_shares(
    patterns: Integer[np.ndarray, "y x"],
    membership: Bool[np.ndarray, "p k"] | None,
    grid: tuple[int, int],
    ids: Int64[np.ndarray, " r"],
    *,
    places: tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " n"]] | None = None,
) -> Float32[np.ndarray, "r h w"]:
    """The share of each cell of another grid that given regions cover. Draws nothing.

    For a teacher, whose cells may be much larger than the student's: whatever pooling chose a
    region, it has at least a pixel in the view, and so a share on any grid; none is lost. The
    cells divide the view evenly, and a pixel on an edge between them is shared by area.

    Args:
        patterns: As in `region_weights`, as are `membership` and `places`.
        grid: Rows and columns of the other encoder's output.
        ids: What `region_weights` sampled.

    Returns:
        The shares; 1 everywhere for regions of no mask (id -1), 0 for masks outside the view.
    """
    rows, columns = places or (np.arange(patterns.shape[0]), np.arange(patterns.shape[1]))
    # each pixel is cut into equal parts, so that whole parts fall into each cell
    rows, columns = (
        np.repeat(line, cells // math.gcd(cells, len(line)))
        for line, cells in zip((rows, columns), grid, strict=True)
    )
    found, counts = count_labels(patterns, grid, rows, columns)
    table = _DISJOINT if membership is None else membership
    present, shares = _shares(found, counts, table, membership is not None, True, 0.0)
    out = np.zeros((len(ids), *grid), np.float32)
    out[ids < 0] = 1
    for region, mask in enumerate(ids):
        out[region] += shares[present == mask].sum(0)
    return out


def split_in_halves(
    ids: Int64[np.ndarray, " r"], weights: Float32[np.ndarray, "r h w"], rng: np.random.Generator
) -> Float32[np.ndarray, "2 r h w"]:
    """Splits the cells of each region at random into two halves, which share none.

    Copies of a mask are split alike, so that they stay copies of each other and every half in one
    view is a positive of the same half in the other. Of an odd number of cells either half may get
    one more. A cell goes with all of its share, in soft pooling too.

    Args:
        ids: Which mask each region is. Those of no mask (-1) are left whole in both halves.
        weights: The share of each cell that each region covers, of two cells at least.
    """
    halves = np.stack([weights, weights])
    cells_of = halves.reshape(2, len(ids), -1)
    for mask in np.unique(ids[ids >= 0]):
        copies = np.flatnonzero(ids == mask)
        cells = rng.permutation(np.flatnonzero(weights[copies[0]]))
        middle = (len(cells) + rng.integers(2)) // 2
        cells_of[0][np.ix_(copies, cells[middle:])] = 0
        cells_of[1][np.ix_(copies, cells[:middle])] = 0
    return halves


def _with_absent(
    ids: Int64[np.ndarray, " k"],
    shares: Float32[np.ndarray, "k h w"],
    also: Integer[np.ndarray, " m"],
) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, "n h w"]]:
    """The masks that are present, and others without any share; ascending."""
    everything = np.union1d(ids, also).astype(np.int64)  # ascending, as `ids` are
    padded = np.zeros((len(everything), *shares.shape[1:]), np.float32)
    padded[np.searchsorted(everything, ids)] = shares
    return everything, padded


@compiled
def _shares(found, counts, membership, overlapping, soft, min_cells):
    """The masks that are present, ascending, and their share of each cell `[k h w]`.

    `found` are the patterns that the view shows, ascending, and `counts` the pixels of each in each
    cell, `[h w n]`. `membership` is read only if the masks are `overlapping`.
    """
    if overlapping:
        ids, area = np.arange(membership.shape[1]), _areas(found, counts, membership)
    else:
        ids, area = found, counts
    cell = counts[0, 0].sum()
    shares = np.zeros((len(ids), *counts.shape[:2]), np.float32)
    for y in range(counts.shape[0]):
        for x in range(counts.shape[1]):
            if soft:
                shares[:, y, x] = area[y, x].astype(np.float32) / np.float32(cell)
            elif overlapping:  # each mask that covers at least half of the cell has it
                shares[:, y, x] = 2 * area[y, x] >= cell
            else:  # the majority; ids ascend and argmax takes the first, so ties go to the lowest
                shares[area[y, x].argmax(), y, x] = 1
    present = np.empty(len(ids), np.bool_)
    for k in range(len(ids)):
        enough = area[:, :, k].sum() >= min_cells * cell if soft else shares[k].any()
        present[k] = enough and (overlapping or ids[k] >= 0)  # "no mask" has cells, but is none
    return ids[present], shares[present]


@compiled
def _areas(found, counts, membership):
    """How many pixels of each cell each of the overlapping masks covers, `[h w k]`."""
    h, w, n = counts.shape
    area = np.zeros((h, w, membership.shape[1]), np.int64)
    for y in range(h):
        for x in range(w):
            for i in range(n):
                if counts[y, x, i]:
                    area[y, x] += counts[y, x, i] * membership[found[i]]
    return area
