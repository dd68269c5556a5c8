"""Regions: pooling features over them, and matching those of two views.

Axes: b images of this rank, c channels, h w feature grid, r sampled regions of an image.
"""

import torch
from jaxtyping import Float, Integer
from torch import Tensor


def pool_regions(
    features: Float[Tensor, "b c h w"], weights: Float[Tensor, "b r h w"]
) -> Float[Tensor, "b r c"]:
    """Averages the features over each region, before any projection.

    With weights of 0 and 1 this is the mask pooling of the official code; with shares of area it
    is the paper's (section 3.1).

    Args:
        features: The encoder's output.
        weights: How much of each cell belongs to each region, at least 0.

    Returns:
        The weighted means. A region that covers nothing is a zero vector.

    >>> features = torch.tensor([1.0, 3.0, 8.0]).view(1, 1, 1, 3)  # one channel, three cells
    >>> weights = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.5]]).view(1, 2, 1, 3)
    >>> pool_regions(features, weights)
    tensor([[[2.],
             [8.]]])
    """
    weights = weights.to(features.dtype)
    total = torch.einsum("bchw,brhw->brc", features, weights)
    return total / weights.sum((-2, -1)).clamp(min=1e-6)[..., None]


def match_regions(
    query_ids: Integer[Tensor, "b r"], other_ids: Integer[Tensor, "b r"], dtype: torch.dtype
) -> tuple[Float[Tensor, "b r r"], Float[Tensor, "b r"]]:
    """Labels and weights of the anchors of one view, as in the official code.

    Args:
        query_ids: Which mask each anchor was pooled over; negative for none.
        other_ids: The same for the regions of the other view.
        dtype: Of the result.

    Returns:
        The label of each anchor: 1 / (number of its positives) at each of them, 0 elsewhere. And
        its weight: 0 where the other view doesn't show its mask, else 1 / (how often the mask was
        drawn in the anchor's own view), so that each mask counts once.

    >>> one, other = torch.tensor([[4, 4, 6]]), torch.tensor([[4, 5, 4]])
    >>> match_regions(one, other, torch.float32)  # mask 4 was drawn twice; mask 6 isn't in `other`
    (tensor([[[0.5000, 0.0000, 0.5000],
             [0.5000, 0.0000, 0.5000],
             [0.0000, 0.0000, 0.0000]]]), tensor([[0.5000, 0.5000, 0.0000]]))
    """
    is_mask = query_ids >= 0
    match = (query_ids[:, :, None] == other_ids[:, None, :]) & is_mask[:, :, None]
    copies = (query_ids[:, :, None] == query_ids[:, None, :]).sum(-1)
    num = match.sum(-1)
    label = match.to(dtype) / num.clamp(min=1)[..., None]
    return label, ((num > 0) & is_mask).to(dtype) / copies
