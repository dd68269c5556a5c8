"""Pooling features over regions.

Axes: b images, c channels, h w feature grid, r sampled regions.
"""

import torch
from jaxtyping import Float
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
