"""Probes by the vote of the nearest neighbours (Wu et al., 2018, arXiv 1805.01978, section 3.4).

A neighbour of cosine similarity s votes with the weight exp(s / temperature). The temperature is
theirs; they take 200 neighbours, where DINO finds 20 to work best (facebookresearch/dino,
eval_knn.py). Nothing is fitted: only the labels depend on a seed, and which cells are kept.
"""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from detcon.data.labelled.examples import Example, LabelError
from detcon.downstream.tasks.probes.linear import Features, cell_shares
from detcon.downstream.tasks.probes.recipe import KnnClassificationRecipe, KnnSegmentationRecipe

SIMILARITIES = 2**25
"""The number of similarities that are held at once: 128 MiB."""


def vote(
    queries: Float[Tensor, "q d"],
    bank: Float[Tensor, "m d"],
    shares: Shaped[Tensor, "m k"],
    *,
    num_neighbours: int,
    temperature: float,
) -> Float[Tensor, "q k"]:
    """The votes by class of each query's nearest neighbours in a bank of unit vectors."""
    rows = max(1, SIMILARITIES // max(len(bank), 1))
    votes = [queries.new_zeros(0, shares.shape[1])]
    for some in normalize(queries, dim=1).split(rows):
        near = (some @ bank.T).topk(min(num_neighbours, len(bank)))
        weights = (near.values / temperature).softmax(1)  # same as exp, but can't overflow
        votes.append(torch.einsum("qn,qnk->qk", weights, shares[near.indices].to(weights.dtype)))
    return torch.cat(votes)


class Bank(nn.Module):
    """A head that holds labelled features, and classifies others by their nearest neighbours.

    A bank that is loaded takes the size that it has in the file.

    Attributes:
        features: Unit vectors [m d].
        shares: How much of each belongs to each class [m k]; booleans where it is all or nothing.
    """

    features: Tensor
    shares: Tensor

    def __init__(
        self,
        features: Float[Tensor, "m d"],
        shares: Shaped[Tensor, "m k"],
        *,
        num_neighbours: int,
        temperature: float,
    ) -> None:
        """Normalises and keeps the features."""
        super().__init__()
        self.num_neighbours, self.temperature = num_neighbours, temperature
        self.register_buffer("features", normalize(features, dim=1))
        self.register_buffer("shares", shares)
        self.register_load_state_dict_pre_hook(_make_room)

    def forward(self, features: Float[Tensor, "b d *grid"]) -> Float[Tensor, "b k *grid"]:
        """The votes of the nearest neighbours, for each cell of a grid or for single vectors."""
        last = features.movedim(1, -1)
        votes = vote(
            last.reshape(-1, last.shape[-1]).float(),
            self.features,
            self.shares,
            num_neighbours=self.num_neighbours,
            temperature=self.temperature,
        )
        return votes.reshape(*last.shape[:-1], -1).movedim(-1, 1)


def bank_of_photos(
    features: Float[Tensor, "n d"],
    labels: Integer[Tensor, " n"],
    num_classes: int,
    recipe: KnnClassificationRecipe = KnnClassificationRecipe(),  # noqa: B008  (frozen)
) -> Bank:
    """Remembers all training photos, without mirror images, as Wu et al. (2018) do.

    A photo and its mirror image would be two of the k neighbours, and say the same.
    """
    shares = torch.cat([one_hot(some, num_classes).bool() for some in labels.split(2**16)])
    return Bank(features, shares, num_neighbours=recipe.k, temperature=recipe.temperature)


def empty_bank(
    channels: int, num_classes: int, recipe: KnnSegmentationRecipe | KnnClassificationRecipe
) -> Bank:
    """An empty bank, to be loaded or replaced."""
    features, shares = torch.empty(0, channels), torch.empty(0, num_classes)
    return Bank(features, shares, num_neighbours=recipe.k, temperature=recipe.temperature)


def _make_room(bank: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, empty in list(bank.named_buffers(recurse=False)):
        found = state.get(prefix + name)
        if found is not None and found.shape[1:] == empty.shape[1:]:
            setattr(bank, name, torch.empty_like(found, device=empty.device))


@torch.no_grad()
def fill_bank(
    features: Features,
    examples: Iterable[Example],
    num_classes: int,
    recipe: KnnSegmentationRecipe = KnnSegmentationRecipe(),  # noqa: B008  (frozen)
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Bank:
    """Remembers cells of the training photos: all of them, or `recipe.bank` drawn at random.

    A number is drawn for each cell, and the cells with the lowest are kept: all are equally likely,
    and memory holds at most twice the bank and one photo. A cell's label is the share of it that
    each class covers, so that one on a border votes for both sides. Cells that are all void aren't
    kept, nor are there mirror images: they would be two of the k neighbours, and say the same.

    Raises:
        LabelError: All labels are void.
    """
    generator = torch.Generator().manual_seed(seed)
    held: list[_Cells] = []  # of a photo each
    for example in examples:
        image = torch.from_numpy(example.image).to(device).permute(2, 0, 1)
        labels = torch.from_numpy(example.labels).to(device)
        grid = features(image[None])
        shares = cell_shares(labels[None], num_classes, (grid.shape[2], grid.shape[3]))
        numbers = torch.rand(grid[0, 0].numel(), generator=generator).to(grid.device)
        cells, of_classes = grid[0].flatten(1).T, shares[0].flatten(1).T
        known = of_classes.sum(1) > 0
        held.append((numbers[known], cells[known], of_classes[known]))
        if sum(len(drawn) for drawn, *_ in held) > 2 * recipe.bank:
            held = [_lowest(held, recipe.bank)]
    _, kept, classes = _lowest(held, recipe.bank)
    if not len(kept):
        raise LabelError("all labels of the training photos are void; there is nothing to learn")
    return Bank(kept, classes, num_neighbours=recipe.k, temperature=recipe.temperature)


_Cells = tuple[Tensor, Tensor, Tensor]
"""Cells: the number drawn for each [n], their features [n d], shares of the classes [n k]."""


def _lowest(held: list[_Cells], num: int) -> _Cells:
    """The `num` cells with the lowest numbers, in their original order."""
    numbers, features, shares = (torch.cat(parts) for parts in zip(*held, strict=True))
    kept = numbers.argsort(stable=True)[:num].sort().values
    return numbers[kept], features[kept], shares[kept]
