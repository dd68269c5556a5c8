"""Figures that show a collapse of the embeddings earlier than the loss does.

Axes: v views, b images, r regions, d embedding, m rows (regions of all images).
"""

import math

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import normalize

from detcon.methods.method import Embeddings
from detcon.results.history import History

MAX_ROWS = 1024
ROUNDING = 1e-6
"""Differences of unit vectors in float32 below this are rounding."""
LITTLE = 0.25
"""Of `embedding_std`: below it embeddings are nearly the same; trained ones have 0.4 to 1."""
SELDOM = 0.1
"""Of `accuracy`: what resembles a teacher has little spread and may tell regions apart."""


@torch.no_grad()
def collapse_figures(embeddings: Embeddings, *, max_rows: int = MAX_ROWS) -> dict[str, float]:
    """The figures of one step, of this rank's share of the batch.

    Looks at the first photos only: at most `max_rows` regions of a view are compared with each
    other, in a float32 matrix of `max_rows` x `max_rows`. Waits for the device once.

    Returns:
        `embedding_std`: see `embedding_std`; `effective_rank`: see `effective_rank`, both of the
        queries. With two views also, between a region's query and the targets of the other view
        (of the same one, where they are a teacher's): `positive_similarity` and
        `negative_similarity`, mean cosines with the same mask of the same photo and with everything
        else; `without_positive`, the share of regions whose mask the other view doesn't show;
        `accuracy`, the share of the others whose nearest target is the right mask of the right
        photo. A figure that is not defined is left out.
    """
    r = embeddings.ids.shape[2]
    photos, regions = max(1, max_rows // r), min(r, max_rows)
    query = normalize(embeddings.query[:, :photos, :regions].float(), dim=-1)
    target = normalize(embeddings.target[:, :photos, :regions].float(), dim=-1)
    ids = embeddings.ids[:, :photos, :regions]
    rows = query.flatten(0, 2)
    figures = {"embedding_std": embedding_std(rows), "effective_rank": effective_rank(rows)}
    if len(ids) == 2:
        others = (0, 1) if embeddings.within else (1, 0)
        sides = [_compare(query[i], target[j], ids[i], ids[j]) for i, j in enumerate(others)]
        counts = torch.stack(sides).sum(0)
        names = ("positive_similarity", "negative_similarity", "without_positive", "accuracy")
        figures |= dict(zip(names, counts[0::2] / counts[1::2], strict=True))
    values = torch.stack(list(figures.values())).tolist()  # the only wait for the device
    return {name: v for name, v in zip(figures, values, strict=True) if math.isfinite(v)}


def describe_collapse(history: History) -> str | None:
    """What to tell the user if the embeddings had collapsed at the last log; None if not."""
    (_, spreads), (_, shares) = history.curve("embedding_std"), history.curve("accuracy")
    if not spreads or not shares or spreads[-1] > LITTLE or shares[-1] > SELDOM:
        return None
    return (
        f"the embeddings have collapsed: they are nearly the same for all photos (spread "
        f"{spreads[-1]:.2f}, where 1 is even), so this backbone may tell less apart than the one "
        f"it started from; a method with negatives, as method.kind=detcon_b, is kept from that"
    )


def embedding_std(rows: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """The mean over dimensions of the standard deviation of unit vectors, times sqrt(d).

    1 where they are spread evenly over the sphere, 0 where all are the same (Chen & He, 2021,
    "Exploring simple siamese representation learning", Fig. 2).
    """
    return rows.std(0, correction=0).mean() * math.sqrt(rows.shape[1])


def effective_rank(rows: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """The number of directions in which the rows vary: between 1 and min(m, d).

    The exponential of the entropy of the normalised singular values of the covariance matrix (Roy
    & Vetterli, 2007, "The effective rank"). Rows that don't vary at all count as 1. NaN where the
    eigenvalues can't be found.
    """
    centred = torch.nan_to_num(rows - rows.mean(0))
    centred = torch.where(centred.abs() < ROUNDING, 0.0, centred)  # LAPACK may give up on noise
    m, d = centred.shape
    # The smaller of the two Gram matrices: both have the same eigenvalues other than zero.
    gram = centred.T @ centred if d <= m else centred @ centred.T
    try:
        values = torch.linalg.eigvalsh(gram / m).clamp(min=0)
    except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]
        return gram.new_tensor(math.nan)
    share = values / values.sum().clamp(min=1e-20)
    entropy = -torch.xlogy(share, share).sum()
    return torch.where(values.sum() > 1e-8, entropy.exp(), 1.0)  # below is rounding, not rank


def _compare(
    query: Float[Tensor, "b r d"],
    target: Float[Tensor, "b r d"],
    query_ids: Integer[Tensor, "b r"],
    target_ids: Integer[Tensor, "b r"],
) -> Float[Tensor, " 8"]:
    """Sums and counts of the four figures between views, in the order of their names."""
    b, r, _ = query.shape
    similarity = query.flatten(0, 1) @ target.flatten(0, 1).T
    photo = torch.arange(b, device=query.device).repeat_interleave(r)
    left, right = query_ids.flatten(), target_ids.flatten()
    positive = (photo[:, None] == photo) & (left[:, None] == right) & (left >= 0)[:, None]
    paired = positive.any(1)  # regions whose mask the other view shows
    nearest = positive.gather(1, similarity.argmax(1, keepdim=True))[:, 0]
    sums = (
        (similarity * positive).sum(),
        positive.sum(),
        (similarity * ~positive).sum(),
        (~positive).sum(),
        (~paired).sum(),
        torch.full((), b * r, device=query.device),
        (nearest & paired).sum(),
        paired.sum(),
    )
    return torch.stack([value.float() for value in sums])
