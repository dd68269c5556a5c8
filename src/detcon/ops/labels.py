"""Label maps in numpy: counting, shrinking and sampling ids. Never imports torch.

Axes: y x pixels, h w feature grid, k ids that occur.
"""

import numpy as np
from jaxtyping import Integer


def count_labels(
    labels: Integer[np.ndarray, "y x"], grid: tuple[int, int]
) -> tuple[Integer[np.ndarray, " k"], Integer[np.ndarray, "h w k"]]:
    """Counts how many pixels of each grid cell carry each id.

    One histogram over (cell, id) pairs; a stack of k full-size masks is never made.

    Args:
        labels: The id of each pixel. Negative ids and gaps are as good as any.
        grid: Rows and columns of cells.

    Returns:
        The ids that occur, ascending, and the number of pixels of each in each cell.

    Raises:
        ValueError: If the pixels don't divide evenly into cells.
    """
    (h, w), (y, x) = grid, labels.shape
    check_cells((y, x), grid)
    low = int(labels.min())
    values = labels.astype(np.int64) - low
    span = int(values.max()) + 1
    if span * h * w > 4 * labels.size:  # far apart: a table of all would be mostly empty
        ids, values = np.unique(labels.astype(np.int64), return_inverse=True)
    else:
        ids = np.arange(low, low + span)
    cells = np.repeat(np.arange(h), y // h)[:, None] * w + np.repeat(np.arange(w), x // w)
    pairs = (cells * len(ids) + values.reshape(y, x)).ravel()
    counts = np.bincount(pairs, minlength=h * w * len(ids)).reshape(h, w, len(ids))
    occurs = counts.any((0, 1))
    return ids[occurs], counts[..., occurs]


def shrink_labels(
    labels: Integer[np.ndarray, "y x"], grid: tuple[int, int]
) -> Integer[np.ndarray, "h w"]:
    """Gives each cell the id that covers most of it; ties go to the lowest id.

    The same as averaging the one-hot map over each cell and taking the largest, which is what
    the official code does (`create_binary_mask`), without the one-hot map.

    Args:
        labels: The id of each pixel.
        grid: Rows and columns of cells.

    Returns:
        The id of each cell.

    Raises:
        ValueError: If the pixels don't divide evenly into cells.
    """
    ids, counts = count_labels(labels, grid)
    return ids[counts.argmax(-1)]


def sample_regions(
    present: Integer[np.ndarray, " k"], num: int, rng: np.random.Generator
) -> Integer[np.ndarray, " num"]:
    """Draws ids that are present, each equally likely, with replacement.

    With replacement, because a view with fewer masks than draws would otherwise have to give ids
    that it does not show, and two empty regions are a perfect pair.

    Args:
        present: The ids that a view shows, each once.
        num: How many to draw.
        rng: Where the draws come from.

    Returns:
        The drawn ids; -1 throughout where nothing is present.
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
