"""Label maps in numpy: counting, shrinking and sampling ids. Never imports torch.

Axes: y x pixels, h w feature grid, k ids that occur.
"""

import numpy as np
from jaxtyping import Int64, Integer

from detcon.ops.compiled import compiled


def count_labels(
    labels: Integer[np.ndarray, "y x"],
    grid: tuple[int, int],
    rows: Int64[np.ndarray, " m"] | None = None,
    columns: Int64[np.ndarray, " n"] | None = None,
) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, "h w k"]]:
    """Counts how many pixels of each grid cell carry each id.

    It counts `labels[rows[:, None], columns]` in one pass of compiled code, without making it or
    a stack of k full-size masks.

    Args:
        labels: The id of each pixel. May be negative, and have gaps.
        grid: Rows and columns of cells.
        rows: The rows of the map to count, repeated or left out as needed; None: each once.
        columns: The columns, likewise.

    Returns:
        The ids that occur, ascending, and the number of pixels of each in each cell.

    Raises:
        ValueError: If the pixels don't divide evenly into cells.

    >>> ids, counts = count_labels(np.array([[5, 5, 7, 7], [5, 2, 2, 7]]), (1, 2))
    >>> ids, counts[0]  # a row a cell, a column an id
    (array([2, 5, 7]), array([[1, 3, 0],
           [1, 0, 3]]))
    """
    rows = np.arange(labels.shape[0]) if rows is None else rows
    columns = np.arange(labels.shape[1]) if columns is None else columns
    check_cells((len(rows), len(columns)), grid)
    low, high = int(labels.min()), int(labels.max())
    cells = grid[0] * grid[1]
    if (high - low + 1) * cells <= 4 * len(rows) * len(columns):
        return _count(labels, low, high, rows, columns, *grid)
    # far apart: a table of all ids would be mostly empty
    ids, places = np.unique(labels, return_inverse=True)
    found, counts = _count(places.reshape(labels.shape), 0, len(ids) - 1, rows, columns, *grid)
    return ids[found].astype(np.int64), counts


def shrink_labels(
    labels: Integer[np.ndarray, "y x"], grid: tuple[int, int]
) -> Integer[np.ndarray, "h w"]:
    """Gives each cell the id that covers most of it; ties go to the lowest id.

    The same as averaging the one-hot map over each cell and taking the largest, which is what
    the official code does (`create_binary_mask`), without the one-hot map.

    Raises:
        ValueError: If the pixels don't divide evenly into cells.

    >>> labels = np.array([[5, 5, 7, 7], [5, 2, 2, 7]])
    >>> shrink_labels(labels, (1, 2))
    array([[5, 7]])
    """
    ids, counts = count_labels(labels, grid)
    return ids[counts.argmax(-1)]


def sample_regions(
    present: Integer[np.ndarray, " k"], num: int, rng: np.random.Generator
) -> Integer[np.ndarray, " num"]:
    """Draws ids that are present, each equally likely, with replacement.

    Without replacement, a view with fewer masks than draws would have to give ids that it does not
    show, and two empty regions are a perfect pair.

    Args:
        present: The ids that a view shows, each once.
        num: How many to draw.
        rng: The random generator.

    Returns:
        The drawn ids; all -1 if none is present.

    >>> sample_regions(np.array([2, 5]), 4, np.random.default_rng(0))
    array([5, 5, 5, 2])
    """
    if not len(present):
        return np.full(num, -1, dtype=np.int64)
    return present[rng.integers(len(present), size=num)].astype(np.int64)


def check_cells(size: tuple[int, int], grid: tuple[int, int]) -> None:
    """Refuses pixels that don't divide evenly into cells.

    Raises:
        ValueError: If height or width is no multiple of the cells along it.
    """
    (y, x), (h, w) = size, grid
    if y % h or x % w:
        raise ValueError(
            f"cannot divide {y} x {x} pixels evenly into {h} x {w} cells; choose a view size "
            f"that is a multiple of the encoder's stride"
        )


@compiled
def _count(labels, low, high, rows, columns, h, w):
    """`count_labels` for ids from `low` to `high`; equal neighbours are counted at once."""
    table = np.zeros((h * w, high - low + 1), np.int64)
    tall, wide = len(rows) // h, len(columns) // w  # pixels of a cell
    for i in range(len(rows)):
        row = labels[rows[i]]
        for cell_column in range(w):
            counts = table[i // tall * w + cell_column]
            first = start = cell_column * wide  # `start`: of the run of equal ids
            before = row[columns[first]]
            for j in range(first, first + wide):
                here = row[np.uint64(columns[np.uint64(j)])]  # unsigned: never counted from the end
                if here != before:
                    counts[np.int64(before) - low] += j - start
                    start, before = j, here
            counts[np.int64(before) - low] += first + wide - start  # the cell's last run
    return _without_gaps(table, low, h, w)


@compiled
def _without_gaps(table, low, h, w):
    """The columns of a table of counts that aren't all 0, and their ids."""
    occurs = np.zeros(table.shape[1], np.bool_)
    for counts in table:
        for k in range(len(counts)):
            occurs[k] |= counts[k] > 0
    ids = np.empty(occurs.sum(), np.int64)
    kept = np.empty((len(table), len(ids)), np.int64)
    k = 0
    for place in range(len(occurs)):
        if occurs[place]:
            ids[k], kept[:, k] = low + place, table[:, place]
            k += 1
    return ids, kept.reshape(h, w, len(ids))
