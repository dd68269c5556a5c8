"""A linear probe of pixels: how well a linear layer tells classes from frozen features.

Features are computed once, for the few labelled pictures and their mirror images. What is left is
logistic regression (`logistic`): seeds differ by their subset of labels alone, and the solution is
found in seconds.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, conv2d, interpolate, one_hot

from detcon.data.labelled.examples import Example, LabelError
from detcon.downstream.tasks.probes.logistic import minimise, moments
from detcon.downstream.tasks.probes.recipe import LinearSegmentationRecipe
from detcon.downstream.tasks.segmentation.data import VOID

Features = Callable[[UInt8[Tensor, "b c y x"]], Float[Tensor, "b d h w"]]
"""A frozen encoder, from bytes to the grid."""

MEMORY = 4 * 2**30


@dataclass(frozen=True)
class Cells:
    """Photos of one size: their features, and what share of each cell every class covers.

    The shares of a cell add up to 1, or to less where pixels are void; the grid of shares may be
    finer than that of features.
    """

    features: Float[Tensor, "n c h w"]
    shares: Float[Tensor, "n k p q"]


def fit_probe(
    features: Features,
    pictures: Iterable[Example],
    num_classes: int,
    recipe: LinearSegmentationRecipe = LinearSegmentationRecipe(),  # noqa: B008  (frozen)
    device: torch.device | str = "cpu",
) -> nn.Conv2d:
    """Fits the best linear classifier of cells.

    The loss is the cross entropy between the interpolated logits and the labels, with the labels
    averaged over cells `fineness` times finer than the features, instead of pixel by pixel: on
    street photographs the same mean IoU to 0.1, for a tenth of the time.

    Args:
        features: The frozen encoder, in eval mode.
        pictures: The labelled pictures; their mirror images are added.
        num_classes: How many classes there are.
        recipe: How to fit.
        device: Where the encoder is.

    Returns:
        A 1 x 1 convolution from features to logits, the standardisation folded into it.

    Raises:
        LabelError: More pictures than their features can be kept of.
    """
    cells = gather_cells(features, pictures, num_classes, recipe.fineness, device)
    mean, std = (
        moment[:, None, None]
        for moment in moments([part.features.movedim(1, 0).flatten(1) for part in cells])
    )
    cells = [Cells((part.features - mean) / std, part.shares) for part in cells]
    weight, bias = _solve(cells, num_classes, recipe)
    weight = weight / std
    layer = nn.Conv2d(weight.shape[1], num_classes, 1, device=weight.device)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias - (weight * mean).sum((1, 2, 3)))  # pyright: ignore
    return layer.requires_grad_(False)


@torch.no_grad()
def gather_cells(
    features: Features,
    pictures: Iterable[Example],
    num_classes: int,
    fineness: int,
    device: torch.device | str = "cpu",
) -> list[Cells]:
    """Computes the features of photos and mirror images, joined by the size of their grids."""
    found: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
    size = 0
    for picture in pictures:
        image = torch.from_numpy(picture.image).to(device).permute(2, 0, 1)
        labels = torch.from_numpy(picture.labels).to(device)
        both = features(torch.stack([image, image.flip(-1)])).float()
        h, w = both.shape[-2:]
        shares = cell_shares(
            torch.stack([labels, labels.flip(-1)]), num_classes, (h * fineness, w * fineness)
        )
        found.setdefault(both.shape[1:], []).append((both, shares))
        size += both.nbytes + shares.nbytes
        if size > MEMORY:
            raise LabelError(
                f"the features of all labelled pictures need more than {MEMORY >> 30} GiB; give "
                f"labels=N to use fewer, or a smaller size="
            )
    return [
        Cells(torch.cat([f for f, _ in parts]), torch.cat([s for _, s in parts]))
        for parts in found.values()
    ]


def cell_shares(
    labels: Integer[Tensor, "b y x"], num_classes: int, grid: tuple[int, int]
) -> Float[Tensor, "b k p q"]:
    """The share of each cell's pixels that belongs to each class; void belongs to none."""
    classes = torch.where(labels == VOID, num_classes, labels.long())
    members = one_hot(classes, num_classes + 1)[..., :num_classes].movedim(-1, 1)
    return adaptive_avg_pool2d(members.float(), grid)


def _solve(
    cells: list[Cells], num_classes: int, recipe: LinearSegmentationRecipe
) -> tuple[Float[Tensor, "k c 1 1"], Float[Tensor, " k"]]:
    """Minimises the mean cross entropy plus `weight_decay` times the squared weights."""
    some = cells[0].features
    weight = some.new_zeros(num_classes, some.shape[1], 1, 1)
    bias = some.new_zeros(num_classes)
    total = torch.stack([part.shares.sum() for part in cells]).sum().clamp(min=1e-12)

    def loss(weight: Tensor, bias: Tensor) -> Iterator[Tensor]:
        value = recipe.weight_decay * weight.square().sum()
        for part in cells:
            logits = conv2d(part.features, weight, bias)
            logits = interpolate(logits, size=part.shares.shape[-2:], mode="bilinear")
            value = value - (part.shares * logits.log_softmax(1)).sum() / total
        yield value

    minimise(loss, weight, bias, recipe.iterations)
    return weight, bias
