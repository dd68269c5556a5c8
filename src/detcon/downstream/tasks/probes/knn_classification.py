"""k-NN on pooled features: each photo is named by the training photos most like it."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import one_hot

from detcon.downstream.tasks.probes.neighbours import Bank
from detcon.downstream.tasks.probes.recipe import KnnClassificationRecipe


def bank_of_photos(
    features: Float[Tensor, "n d"],
    labels: Integer[Tensor, " n"],
    num_classes: int,
    recipe: KnnClassificationRecipe = KnnClassificationRecipe(),  # noqa: B008  (frozen)
) -> Bank:
    """Remembers all photos, all of them.

    No mirror images: a photo and its mirror image would be two of the k neighbours, and say the
    same (Wu et al., 2018, have one view of each photo too).
    """
    shares = torch.cat([one_hot(some, num_classes).bool() for some in labels.split(2**16)])
    return Bank(features, shares, num_neighbours=recipe.k, temperature=recipe.temperature)
