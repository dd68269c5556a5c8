"""The losses over regions: contrastive detection (Eq. 3 of arXiv:2103.10957) and regression.

`plain_contrastive_detection` is the definition, to be read. `contrastive_detection` computes the
same without ever holding the matrix of similarities; its steps are in `contrast_kernels`.

Axes: b images of this rank, n images of all ranks, r regions of an image, d embedding.
"""

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn.functional import log_softmax, normalize

from detcon.ops.contrast_kernels import (
    LEAST_LENGTH,
    REMOVED,
    SAFE_LOGIT,
    ChunkedContrast,
    SymmetricContrast,
    single_or_double,
)
from detcon.ops.regions import match_regions


def plain_contrastive_detection(
    query: Float[Tensor, "b r d"],
    other: Float[Tensor, "n r d"],
    same: Float[Tensor, "n r d"] | None,
    query_ids: Integer[Tensor, "b r"],
    other_ids: Integer[Tensor, "b r"],
    *,
    temperature: float = 0.1,
    first: int = 0,
    local_negatives: bool = True,
) -> Float[Tensor, ""]:
    """The definition of the loss: one direction of `byol_nce_detcon` in the official code.

    Each region of view one, the anchor, is classified among all regions of both views. Its
    positives are the regions of view two that show the same mask of the same image. Everything
    else is a negative, other masks of the same image too; copies of the anchor in its own view
    are neither. For reading and for tests: it holds a matrix of b * r rows and 2 * n * r columns.

    The arguments are those of `contrastive_detection`.

    >>> one, ids = torch.eye(2)[None], torch.tensor([[0, 1]])
    >>> f"{plain_contrastive_detection(one, one, one, ids, ids):.4f}"
    '0.0001'
    """
    b, r, n = *query_ids.shape, len(other)
    mine = slice(first * r, (first + b) * r)  # the regions of this rank's images among all
    image = torch.arange(n).repeat_interleave(r)
    same_image = image[mine, None] == image

    def same_mask(ids: Integer[Tensor, "b r"]) -> Bool[Tensor, "br nr"]:
        """Whether an anchor and a region of a view show the same mask of the same image."""
        ids_of_all = ids.new_zeros(n * r)  # those of other images don't matter
        ids_of_all[mine] = ids.flatten()
        return same_image & (query_ids.view(-1, 1) == ids_of_all)

    positive = same_mask(other_ids) & (query_ids >= 0).view(-1, 1)  # a negative id is no mask
    copy = same_mask(query_ids)
    removed = [torch.zeros_like(positive), copy]  # from view two, and from view one
    if not local_negatives:
        removed = [same_image & ~positive, same_image]
    views = [other] if same is None else [other, same]

    candidates = torch.cat(views).flatten(0, 1)
    anchors, candidates = (
        normalize(x, dim=-1, eps=LEAST_LENGTH) for x in (query.flatten(0, 1), candidates)
    )
    logits = anchors @ candidates.mT / temperature
    logits = logits + REMOVED * torch.cat(removed[: len(views)], 1)
    log_share = log_softmax(logits, 1)[:, : n * r]  # positives are in view two
    found = (log_share * positive).sum(1) / positive.sum(1).clamp(min=1)  # the mean of positives
    weight = positive.any(1).to(logits) / copy.sum(1)  # so that each mask counts once
    return -(weight * found).mean()


def contrastive_detection(
    query: Float[Tensor, "b r d"],
    other: Float[Tensor, "n r d"],
    same: Float[Tensor, "n r d"] | None,
    query_ids: Integer[Tensor, "b r"],
    other_ids: Integer[Tensor, "b r"],
    *,
    temperature: float = 0.1,
    first: int = 0,
    local_negatives: bool = True,
) -> Float[Tensor, ""]:
    """Scores how well each region finds itself in the other view: one direction of the loss.

    Equals `plain_contrastive_detection`, which says what is computed, in value and gradient. The
    training loss is this function called twice, with the views exchanged, and added.

    The matrix of similarities is never held whole: rows are taken in chunks, and the gradient is
    formed in the same pass, so that memory grows with n * r * d and not with (n * r)^2. Inputs in
    half precision are computed in float32; float64 stays float64.

    Args:
        query: Predictions for view one. Normalised inside, as are the others.
        other: Targets for view two, the candidates that a region should find.
        same: Targets for view one, which hold negatives only; None leaves them out.
        query_ids: Which mask each query region was pooled over. May repeat. A negative id is no
            mask: never a positive, and no anchor.
        other_ids: The same for `other`, of this rank's images.
        temperature: Divides the cosine similarities.
        first: Where this rank's images begin in `other` and `same`.
        local_negatives: False removes all of the photo's own entries but the positives, in both
            views.

    Returns:
        The mean over all b * r slots. A region whose mask isn't in the other view counts as zero,
        and k copies of one region weigh 1/k each: both as in the official code, and not in the
        paper's equation. So does a region without any candidate.

    Raises:
        ValueError: If `temperature` is not positive, or this rank's images aren't in `other`.

    >>> ids = torch.tensor([[0, 1]])  # one photo; both views show its masks 0 and 1
    >>> one = torch.eye(2)[None]  # what was pooled over them, two orthogonal vectors
    >>> f"{contrastive_detection(one, one, one, ids, ids):.4f}"  # each region finds itself
    '0.0001'
    >>> f"{contrastive_detection(one, one.flip(1), one, ids, ids):.4f}"  # each finds the other
    '10.0001'
    """
    b, n = query.shape[0], other.shape[0]
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if first < 0 or first + b > n:
        raise ValueError(
            f"this rank's images are {first}..{first + b - 1}, but the gathered targets "
            f"hold only {n} images; gather targets before calling, or pass first=0"
        )
    with torch.autocast(query.device.type, enabled=False):
        vectors = (x if x is None else single_or_double(x) for x in (query, other, same))
        return ChunkedContrast.apply(
            *vectors, query_ids, other_ids, temperature, first, local_negatives
        )


def contrastive_detection_of_both(
    one: Float[Tensor, "b r d"],
    two: Float[Tensor, "b r d"],
    ids_one: Integer[Tensor, "b r"],
    ids_two: Integer[Tensor, "b r"],
    *,
    temperature: float = 0.1,
    local_negatives: bool = True,
) -> Float[Tensor, ""]:
    """Both directions of `contrastive_detection`, added, where the queries are the targets.

    So it is in DetCon-S and SimCLR on one rank: every vector is a row and a column, the matrix of
    similarities is symmetric, and a triangle of it is enough. That makes 8 matrix products of
    `[b * r, d] x [d, b * r]` where two calls make 12. Value and gradient are the same.

    It is `contrastive_detection(one, two, one, ids_one, ids_two)` and
    `contrastive_detection(two, one, two, ids_two, ids_one)`, added.

    Raises:
        ValueError: If `temperature` is not positive.

    >>> one, two, ids = torch.eye(2)[None], torch.eye(2)[None].flip(1), torch.tensor([[0, 1]])
    >>> f"{contrastive_detection_of_both(one, two, ids, ids):.4f}"  # twice what one direction is
    '20.0002'
    """
    if temperature < 1 / SAFE_LOGIT:  # each row needs its own maximum
        options = {"temperature": temperature, "local_negatives": local_negatives}
        return contrastive_detection(
            one, two, one, ids_one, ids_two, **options
        ) + contrastive_detection(two, one, two, ids_two, ids_one, **options)
    with torch.autocast(one.device.type, enabled=False):
        vectors, ids = torch.stack([one, two], 1), torch.stack([ids_one, ids_two], 1)
        return SymmetricContrast.apply(
            single_or_double(vectors.flatten(1, 2)), ids, temperature, local_negatives
        )


def region_regression(
    query: Float[Tensor, "b r d"],
    other: Float[Tensor, "b r d"],
    query_ids: Integer[Tensor, "b r"],
    other_ids: Integer[Tensor, "b r"],
) -> Float[Tensor, ""]:
    """Scores how far each region is from itself in the other view: one direction of BYOL's loss.

    With one region an image it is Eq. 2 of BYOL (arXiv:2006.07733), 2 - 2 * cosine. The training
    loss is two calls with the views exchanged, added.

    Args:
        query: Predictions for view one. Normalised inside, as is `other`.
        other: Targets for view two.
        query_ids: Which mask each region is; negative for none.
        other_ids: The same for `other`.

    Returns:
        The mean over all slots; slots without a positive and copies weigh as in
        `contrastive_detection`.

    >>> one, ids = torch.eye(2)[None], torch.tensor([[0, 1]])
    >>> region_regression(one, one, ids, ids).item()  # the same direction
    0.0
    >>> region_regression(one, -one, ids, ids).item()  # the opposite one
    4.0
    """
    with torch.autocast(query.device.type, enabled=False):
        rows, columns = (
            normalize(single_or_double(x), dim=-1, eps=LEAST_LENGTH) for x in (query, other)
        )
        label, weight = match_regions(query_ids, other_ids, rows.dtype)
        distance = 2 - 2 * rows @ columns.mT
        return ((label * distance).sum(-1) * weight).mean()
