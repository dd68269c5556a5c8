"""Figures of a representation that need no labels: neighbours kept, RankMe and LiDAR.

Axes: m rows (regions), d features, k nearest neighbours.
"""

import math

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import normalize

EPSILON = 1e-7
"""Added to each share of the spectrum, as both papers do."""

_SIMILARITIES = 2**24
"""The number of similarities that are held at once: 64 MiB in float32."""


def rankme(rows: Float[Tensor, "m d"], *, epsilon: float = EPSILON) -> float:
    """RankMe: the number of directions that features fill, between 1 and min(m, d).

    The exponential of the entropy of the shares of the singular values, p = s / sum(s) + epsilon
    (Garrido et al., 2023, arXiv 2210.02885, equations 1 and 2). The rows aren't centred, as there.
    Computed in float64. NaN where rows are all 0 or aren't finite.

    >>> round(rankme(torch.eye(4)), 3), round(rankme(torch.ones(4, 4)), 3)
    (4.0, 1.0)
    """
    if not rows.isfinite().all():
        return math.nan
    return _perplexity(torch.linalg.svdvals(rows.double()), epsilon)


def lidar(
    rows: Float[Tensor, "m d"],
    classes: Integer[Tensor, " m"],
    *,
    delta: float = 1e-4,
    epsilon: float = EPSILON,
) -> float:
    """LiDAR: RankMe's formula on the spectrum of linear discriminant analysis.

    A class is what two views have in common (here one region of one photo), its rows are that
    region in several augmented views. With the scatter B between the classes' means and W within
    classes, plus delta on its diagonal, it is the smooth rank of W^(-1/2) B W^(-1/2) (Thilak et
    al., 2024, arXiv 2312.04000, section 3). Directions that only tell augmentations apart count for
    little. Both scatters are means over classes, and W of the means over each class's own rows, so
    that classes of different size weigh alike. Computed in float64.

    Args:
        rows: Features of all views.
        classes: The class of each row, from 0 on, each with at least two rows.
        delta: The paper's, for features of ordinary size.
        epsilon: Added to each share of the spectrum.

    Returns:
        Between 1 and min(classes - 1, d), or a little above; NaN where all means are the same, or
        rows aren't finite.

    >>> views = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]])
    >>> round(lidar(views, torch.tensor([0, 0, 1, 1])), 3)  # two classes differ in one direction
    1.0
    """
    if not rows.isfinite().all():
        return math.nan
    rows = rows.double()
    num = int(classes.max()) + 1
    sizes = torch.bincount(classes, minlength=num).to(rows.dtype)
    means = rows.new_zeros(num, rows.shape[1]).index_add_(0, classes, rows) / sizes[:, None]
    between = means - means.mean(0)
    within = (rows - means[classes]) / sizes[classes].sqrt()[:, None]
    scatter = within.T @ within / num
    scatter.diagonal().add_(delta)
    # W = L L^T: the eigenvalues of L^-1 B L^-T are those of W^(-1/2) B W^(-1/2)
    factor, failed = torch.linalg.cholesky_ex(scatter)
    if failed:  # huge features, beside which delta is rounding: the same roots by eigenvalues
        values, vectors = torch.linalg.eigh(scatter)
        whitened = (between @ vectors / values.clamp(min=delta).sqrt()).T
    else:
        whitened = torch.linalg.solve_triangular(factor, between.T, upper=False)
    return _perplexity(torch.linalg.eigvalsh(whitened @ whitened.T / num).clamp(min=0), epsilon)


def nearest_neighbours(
    rows: Float[Tensor, "m d"], groups: Integer[Tensor, " m"], *, num: int
) -> Integer[Tensor, "m k"]:
    """The rows most similar to each row by cosine, of other groups alone (other photos).

    Returns:
        Their numbers, in no order; k is `num`, or as many as all rows have in other groups.

    Raises:
        ValueError: There are no two groups.

    >>> rows = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [0.0, 1.0]])
    >>> nearest_neighbours(rows, torch.tensor([0, 0, 1, 1]), num=1).flatten()  # never the own photo
    tensor([2, 2, 1, 1])
    """
    unit = normalize(rows.float(), dim=1)
    k = min(num, len(rows) - int(torch.bincount(groups, minlength=1).max()))
    if k < 1:
        raise ValueError("neighbours in other photos need regions of at least two photos")
    found = []
    for some, own in zip(
        *(one.split(max(1, _SIMILARITIES // len(rows))) for one in (unit, groups))
    ):
        similarity = (some @ unit.T).masked_fill_(own[:, None] == groups, -torch.inf)
        found.append(similarity.topk(k, sorted=False).indices)
    return torch.cat(found)


def shared_neighbours(one: Integer[Tensor, "m k"], other: Integer[Tensor, "m k"]) -> float:
    """The mean share of a row's k neighbours that are the same in two representations, 0 to 1.

    Called mutual k-NN alignment by Huh et al. (2024, arXiv 2405.07987, section 2).

    >>> shared_neighbours(torch.tensor([[1, 2], [0, 2]]), torch.tensor([[2, 1], [0, 3]]))
    0.75
    """
    same = (one[:, :, None] == other[:, None, :]).any(2)
    return same.double().mean().item()


def _perplexity(spectrum: Float[Tensor, " n"], epsilon: float) -> float:
    shares = spectrum / spectrum.sum() + epsilon
    return torch.exp(-(shares * shares.log()).sum()).item()
