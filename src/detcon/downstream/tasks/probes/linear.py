"""Linear probes: how well a linear layer tells classes from frozen features, of pixels or photos.

Both are multinomial logistic regression by L-BFGS on features that are computed once. The problem
is convex: figures depend neither on a learning rate nor on initial weights, and seeds differ only
in their subset of labels.

Classification isn't the linear evaluation of the papers: BYOL (arXiv 2006.07733, appendix C.1)
trains the layer for 80 epochs by SGD with Nesterov momentum on random crops and mirror images,
without weight decay, at the best of five rates. Here each photo is seen as its centre crop and its
mirror image. Don't compare the two kinds of figures.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor, nn
from torch.nn.functional import (
    adaptive_avg_pool2d,
    conv2d,
    cross_entropy,
    interpolate,
    linear,
    one_hot,
)

from detcon.data.labelled.examples import Example, LabelError
from detcon.downstream.tasks.probes.recipe import (
    LinearClassificationRecipe,
    LinearSegmentationRecipe,
)
from detcon.downstream.tasks.segmentation.data import VOID

Loss = Callable[[Tensor, Tensor], Iterable[Float[Tensor, ""]]]
"""From weight and bias to parts of the loss, whose sum it is; one at a time is in memory."""


def minimise(loss: Loss, weight: Tensor, bias: Tensor, iterations: int) -> None:
    """Minimises the loss over weight and bias, in place, from the values that they hold."""
    solver = torch.optim.LBFGS(
        [weight.requires_grad_(True), bias.requires_grad_(True)],
        max_iter=iterations,
        history_size=20,
        tolerance_grad=1e-6,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        solver.zero_grad()
        total = 0.0
        for part in loss(weight, bias):
            part.backward()
            total += float(part.detach())
        return total

    with torch.enable_grad():
        solver.step(closure)
    weight.requires_grad_(False)
    bias.requires_grad_(False)


def moments(
    parts: Sequence[Float[Tensor, "c _"]],
) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Mean and deviation of each channel over all columns.

    A channel that is constant but for rounding has the deviation infinity, which standardises it to
    0: a large mean would leave its rounding errors as features.
    """
    count = sum(part.shape[1] for part in parts)
    mean = torch.stack([part.double().sum(1) for part in parts]).sum(0) / count
    squares = [(part.double() - mean[:, None]).square().sum(1) for part in parts]
    std = (torch.stack(squares).sum(0) / count).sqrt()
    std = torch.where(std > 1e-6 * (1 + mean.abs()), std, torch.inf)
    return mean.float(), std.float()


Features = Callable[[UInt8[Tensor, "b c y x"]], Float[Tensor, "b d h w"]]
"""A frozen encoder, from bytes to the grid."""

MEMORY = 4 * 2**30


@dataclass(frozen=True)
class Cells:
    """Photos of one size: their features, and the share of each cell that every class covers.

    The grid of shares may be finer than that of features.
    """

    features: Float[Tensor, "n c h w"]
    shares: Float[Tensor, "n k p q"]


def fit_probe(
    features: Features,
    examples: Iterable[Example],
    num_classes: int,
    recipe: LinearSegmentationRecipe = LinearSegmentationRecipe(),  # noqa: B008  (frozen)
    device: torch.device | str = "cpu",
) -> nn.Conv2d:
    """Fits the best linear classifier of cells.

    The loss is the cross entropy between the interpolated logits and the labels. The labels are
    averaged over cells `fineness` times finer than the features: on street photographs the same
    mean IoU to 0.1 as pixel by pixel, in a tenth of the time. Mirror images are added.

    Returns:
        A 1 x 1 convolution from features to logits, the standardisation folded into it.

    Raises:
        LabelError: The features of all photos take too much memory.
    """
    cells = gather_cells(features, examples, num_classes, recipe.fineness, device)
    mean, std = (
        moment[:, None, None]
        for moment in moments([part.features.movedim(1, 0).flatten(1) for part in cells])
    )
    cells = [Cells((part.features - mean) / std, part.shares) for part in cells]
    some = cells[0].features
    weight, bias = some.new_zeros(num_classes, some.shape[1], 1, 1), some.new_zeros(num_classes)
    total = torch.stack([part.shares.sum() for part in cells]).sum().clamp(min=1e-12)

    def loss(weight: Tensor, bias: Tensor) -> Iterator[Tensor]:
        value = recipe.weight_decay * weight.square().sum()
        for part in cells:
            logits = conv2d(part.features, weight, bias)
            logits = interpolate(logits, size=part.shares.shape[-2:], mode="bilinear")
            value = value - (part.shares * logits.log_softmax(1)).sum() / total
        yield value

    minimise(loss, weight, bias, recipe.iterations)
    weight = weight / std
    layer = nn.Conv2d(weight.shape[1], num_classes, 1, device=weight.device)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias - (weight * mean).sum((1, 2, 3)))  # pyright: ignore
    return layer.requires_grad_(False)


@torch.no_grad()
def gather_cells(
    features: Features,
    examples: Iterable[Example],
    num_classes: int,
    fineness: int,
    device: torch.device | str = "cpu",
) -> list[Cells]:
    """Computes the features of photos and mirror images, joined by the size of their grids."""
    found: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
    size = 0
    for example in examples:
        image = torch.from_numpy(example.image).to(device).permute(2, 0, 1)
        labels = torch.from_numpy(example.labels).to(device)
        both = features(torch.stack([image, image.flip(-1)]))
        h, w = both.shape[-2:]
        shares = cell_shares(
            torch.stack([labels, labels.flip(-1)]), num_classes, (h * fineness, w * fineness)
        )
        found.setdefault(both.shape[1:], []).append((both, shares))
        size += both.nbytes + shares.nbytes
        if size > MEMORY:
            raise LabelError(
                f"the features of all labelled photos need more than {MEMORY >> 30} GiB; give "
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


ROWS = 2**15
"""The number of photos whose scores are held at once."""


@torch.no_grad()
def fit_linear(
    features: Float[Tensor, "n d"],
    labels: Integer[Tensor, " n"],
    num_classes: int,
    recipe: LinearClassificationRecipe = LinearClassificationRecipe(),  # noqa: B008  (frozen)
) -> nn.Linear:
    """Fits the best linear classifier of photos: cross entropy and a penalty on squared weights.

    Features are standardised in place, since there may be no room for them twice.

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
