"""The vote of the nearest neighbours (Wu et al., 2018, arXiv 1805.01978, section 3.4).

A neighbour of cosine similarity s votes with the weight exp(s / temperature). The temperature is
theirs; they take 200 neighbours, where DINO finds 20 to work best (facebookresearch/dino,
eval_knn.py). Nothing is fitted, so nothing but the labels depends on a seed.
"""

from typing import Any

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

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
    """The votes of the nearest neighbours of each query, by class.

    Exact: each query is compared with the whole bank, a chunk of queries at a time.

    Args:
        queries: Of any length.
        bank: Unit vectors.
        shares: How much of each entry of the bank belongs to each class.
        num_neighbours: How many vote.
        temperature: The lower, the more the nearest ones count.
    """
    rows = max(1, SIMILARITIES // max(len(bank), 1))
    votes = [queries.new_zeros(0, shares.shape[1])]
    for some in normalize(queries, dim=1).split(rows):
        near = (some @ bank.T).topk(min(num_neighbours, len(bank)))
        weights = (near.values / temperature).softmax(1)  # same as exp, but can't overflow
        votes.append(torch.einsum("qn,qnk->qk", weights, shares[near.indices].to(weights.dtype)))
    return torch.cat(votes)


class Bank(nn.Module):
    """A head that holds labelled features, and classifies others by their nearest neighbours.

    How many it remembers isn't known before it is filled: a bank that is loaded takes the size that
    it has in the file.

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
        """Fills the bank; see `vote` for the arguments.

        Args:
            features: Of any length; kept as unit vectors.
            shares: What they are.
            num_neighbours: How many vote.
            temperature: The lower, the more the nearest ones count.
        """
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
    """Remembers all training photos.

    No mirror images: a photo and its mirror image would be two of the k neighbours, and say the
    same (Wu et al., 2018, have one view of each photo too).
    """
    shares = torch.cat([one_hot(some, num_classes).bool() for some in labels.split(2**16)])
    return Bank(features, shares, num_neighbours=recipe.k, temperature=recipe.temperature)


def empty_bank(
    channels: int, num_classes: int, recipe: KnnSegmentationRecipe | KnnClassificationRecipe
) -> Bank:
    """An empty bank, to be loaded or replaced."""
    return Bank(
        torch.empty(0, channels),
        torch.empty(0, num_classes),
        num_neighbours=recipe.k,
        temperature=recipe.temperature,
    )


def _make_room(bank: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, empty in list(bank.named_buffers(recurse=False)):
        found = state.get(prefix + name)
        if found is not None and found.shape[1:] == empty.shape[1:]:
            setattr(bank, name, torch.empty_like(found, device=empty.device))
