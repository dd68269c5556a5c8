"""k-means on the cells of one photo: few points, many numbers each."""

import numpy as np
from jaxtyping import Float, Float32, Integer

_MOST_ROUNDS = 50


def kmeans(
    points: Float[np.ndarray, "n d"], num: int, rng: np.random.Generator
) -> tuple[Integer[np.ndarray, " n"], Float32[np.ndarray, "k d"]]:
    """Lloyd's algorithm from k-means++'s centres (Arthur and Vassilvitskii, SODA 2007), once.

    Args:
        points: What to cluster.
        num: How many clusters; fewer come out where fewer points differ, or one loses all its
            points.
        rng: Draws the first centres.

    Returns:
        Each point's cluster, and the clusters' centres, none of them without points.
    """
    points = points.astype(np.float32)
    centres = _first_centres(points, num, rng)
    nearest = _distances(points, centres).argmin(1)
    for _ in range(_MOST_ROUNDS):
        kept, nearest = np.unique(nearest, return_inverse=True)
        member = np.eye(len(kept), dtype=np.float32)[nearest]  # [n k]
        centres = member.T @ points / member.sum(0)[:, None]
        before, nearest = nearest, _distances(points, centres).argmin(1)
        if np.array_equal(before, nearest):
            break
    kept, nearest = np.unique(nearest, return_inverse=True)
    return nearest, centres[kept]


def _first_centres(
    points: Float32[np.ndarray, "n d"], num: int, rng: np.random.Generator
) -> Float32[np.ndarray, "k d"]:
    """Points far from each other: each drawn in proportion to its squared distance to the last."""
    centres = [points[rng.integers(len(points))]]
    least = np.full(len(points), np.inf, np.float64)
    while len(centres) < num:
        least = np.minimum(least, ((points - centres[-1]) ** 2).sum(1, dtype=np.float64))
        if not least.sum() > 0:
            break
        centres.append(points[rng.choice(len(points), p=least / least.sum())])
    return np.stack(centres)


def _distances(
    points: Float32[np.ndarray, "n d"], centres: Float32[np.ndarray, "k d"]
) -> Float32[np.ndarray, "n k"]:
    """Squared distances, less what is the same for all centres."""
    return (centres**2).sum(1) - 2 * points @ centres.T
