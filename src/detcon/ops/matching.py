"""Which regions of two views belong together.

Axes: b images of this rank, r regions of an image.
"""

import torch
from jaxtyping import Float, Integer
from torch import Tensor


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
    """
    is_mask = query_ids >= 0
    match = (query_ids[:, :, None] == other_ids[:, None, :]) & is_mask[:, :, None]
    copies = (query_ids[:, :, None] == query_ids[:, None, :]).sum(-1)
    num = match.sum(-1)
    label = match.to(dtype) / num.clamp(min=1)[..., None]
    return label, ((num > 0) & is_mask).to(dtype) / copies
