"""A linear probe of whole photos: logistic regression on frozen, pooled features.

Not the linear evaluation of the papers: BYOL (arXiv 2006.07733, appendix C.1) trains the layer for
80 epochs by SGD with Nesterov momentum on random crops and mirror images, without weight decay, and
sweeps the rate over five values. Here each photo is seen as its centre crop and the mirror image of
that, and the convex problem is solved: no rate, no sweep. Compare figures of one kind only.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from detcon.downstream.tasks.probes.logistic import minimise, moments
from detcon.downstream.tasks.probes.recipe import LinearClassificationRecipe

ROWS = 2**15
"""The number of photos whose scores are held at once."""


@torch.no_grad()
def fit_linear(
    features: Float[Tensor, "n d"],
    labels: Integer[Tensor, " n"],
    num_classes: int,
    recipe: LinearClassificationRecipe = LinearClassificationRecipe(),  # noqa: B008  (frozen)
) -> nn.Linear:
    """Fits the best linear classifier; minimises cross entropy plus a penalty, as of cells.

    Args:
        features: Standardised in place, since there may be no room for them twice.
        labels: Their classes.
        num_classes: How many classes there are.
        recipe: How to fit.

    Returns:
        A layer from features, as they were, to scores.
    """
    chunks = features.split(ROWS)
    mean, std = moments([chunk.T for chunk in chunks])
    features.sub_(mean).div_(std)
    weight = features.new_zeros(num_classes, features.shape[1])
    bias = features.new_zeros(num_classes)

    def loss(weight: Tensor, bias: Tensor) -> Iterator[Tensor]:
        yield recipe.weight_decay * weight.square().sum()
        for chunk, classes in zip(chunks, labels.split(ROWS), strict=True):
            scores = linear(chunk, weight, bias)
            yield cross_entropy(scores, classes, reduction="sum") / len(labels)

    minimise(loss, weight, bias, recipe.iterations)
    layer = nn.Linear(weight.shape[1], num_classes, device=weight.device)
    layer.weight.copy_(weight / std)
    layer.bias.copy_(bias - (weight / std * mean).sum(1))
    return layer.requires_grad_(False)
