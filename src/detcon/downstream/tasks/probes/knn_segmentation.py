"""k-NN on dense features: each cell of a picture is named by the training cells most like it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from detcon.data.labelled.examples import Example, LabelError
from detcon.downstream.tasks.probes.linear_segmentation import Features, cell_shares
from detcon.downstream.tasks.probes.neighbours import Bank
from detcon.downstream.tasks.probes.recipe import KnnSegmentationRecipe


@dataclass(frozen=True)
class _Cells:
    """Cells: a number drawn for each, its features, and what share of it every class covers."""

    numbers: Float[Tensor, " n"]
    features: Float[Tensor, "n d"]
    shares: Float[Tensor, "n k"]


@torch.no_grad()
def fill_bank(
    features: Features,
    pictures: Iterable[Example],
    num_classes: int,
    recipe: KnnSegmentationRecipe = KnnSegmentationRecipe(),  # noqa: B008  (frozen)
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Bank:
    """Remembers cells of the training photos: all of them, or `recipe.bank` drawn at random.

    A number is drawn for each cell, and those with the lowest are kept: every cell is as likely as
    any other, however many there are, in memory for twice the bank. A cell's label is the share of
    it that every class covers, so that one on a border votes for both sides; void votes for none,
    and cells that are all void aren't kept. No mirror images: a cell and its mirror image would be
    two of the k neighbours, and say the same.

    Args:
        features: The frozen encoder, in eval mode.
        pictures: The labelled photos.
        num_classes: How many classes there are.
        recipe: How many cells to keep, and how they vote.
        seed: Of the draw.
        device: Where the encoder is.

    Raises:
        LabelError: All labels are void.
    """
    generator = torch.Generator().manual_seed(seed)
    held: list[_Cells] = []
    for picture in pictures:
        image = torch.from_numpy(picture.image).to(device).permute(2, 0, 1)
        labels = torch.from_numpy(picture.labels).to(device)
        grid = features(image[None]).float()
        shares = cell_shares(labels[None], num_classes, (grid.shape[2], grid.shape[3]))
        numbers = torch.rand(grid[0, 0].numel(), generator=generator).to(grid.device)
        cells, of_classes = grid[0].flatten(1).T, shares[0].flatten(1).T
        known = of_classes.sum(1) > 0
        held.append(_Cells(numbers[known], cells[known], of_classes[known]))
        if sum(len(part.numbers) for part in held) > 2 * recipe.bank:
            held = [_lowest(held, recipe.bank)]
    kept = _lowest(held, recipe.bank)
    if not len(kept.features):
        raise LabelError("all labels of the training pictures are void; there is nothing to learn")
    return Bank(kept.features, kept.shares, num_neighbours=recipe.k, temperature=recipe.temperature)


def _lowest(held: Sequence[_Cells], num: int) -> _Cells:
    """The `num` cells of the lowest numbers, in the order they came in."""
    numbers = torch.cat([part.numbers for part in held])
    kept = numbers.argsort(stable=True)[:num].sort().values
    return _Cells(
        numbers[kept],
        torch.cat([part.features for part in held])[kept],
        torch.cat([part.shares for part in held])[kept],
    )
