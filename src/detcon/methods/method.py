"""A method: encoder and heads, an averaged copy as target, and an objective."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from detcon.data.batch import Batch
from detcon.data.colour import apply_colour
from detcon.methods.objectives import Objective
from detcon.models.recipe import Normalisation
from detcon.ops.regions import pool_regions


@dataclass(frozen=True)
class Embeddings:
    """The embeddings that a step compared, for monitoring; no gradient.

    Attributes:
        query: The online network's projections, or predictions where there is a predictor.
        target: The candidates that the queries were compared with.
        ids: Which mask each region is.
    """

    query: Float[Tensor, "v b r d"]
    target: Float[Tensor, "v b r d"]
    ids: Integer[Tensor, "v b r"]


class Tower(nn.Module):
    """Encoder and projector: from photos and region weights to one embedding per region."""

    def __init__(self, encoder: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.encoder, self.projector = encoder, projector

    def forward(
        self, photos: Float[Tensor, "b c y x"], weights: Float[Tensor, "b r h w"]
    ) -> Float[Tensor, "b r d"]:
        features = self.encoder(photos)
        if features.shape[2:] != weights.shape[2:]:
            raise ValueError(
                f"the encoder gives a grid of {features.shape[2]} x {features.shape[3]} cells, but "
                f"the masks came on {weights.shape[2]} x {weights.shape[3]}; make views with "
                f"grid=feature_grid(encoder, size)"
            )
        return self.projector(pool_regions(features, weights))


class Method(nn.Module):
    """A self-supervised (or supervised) method, composed of its parts.

    Each view passes encoder and heads alone, so that batch norm takes its statistics view by
    view. The target sees the same ids and weights, runs in training mode with batch statistics of
    its own, gets no gradient, and follows by `update_target` after each update: its parameters,
    not its buffers. All as in the official code (`detcon_b.py`).
    """

    def __init__(
        self,
        online: Tower,
        *,
        objective: Objective,
        predictor: nn.Module | None = None,
        target: Tower | None = None,
        normalisation: Normalisation | None = None,
    ) -> None:
        """Joins the parts.

        Args:
            online: The network that learns.
            objective: Computes the loss from the queries and targets of each view.
            predictor: Maps projections to queries; none by default.
            target: Gives the candidates; None lets the online network give them, with gradient.
            normalisation: Of photos in [0, 1].
        """
        super().__init__()
        self.online, self.predictor, self.target = online, predictor, target
        self.objective = objective
        self.normalisation = normalisation or Normalisation()
        if target is not None:
            target.requires_grad_(False)

    @property
    def encoder(self) -> nn.Module:
        """The network that goes into the backbone file."""
        return self.online.encoder

    def forward(self, batch: Batch) -> tuple[Float[Tensor, ""], Embeddings]:
        """Computes the loss of one step, and what was compared."""
        views = [
            self._coloured(images, colour) for images, colour in zip(batch.images, batch.colour)
        ]
        shown = list(zip(views, batch.weights, strict=True))
        projections = [self.online(photos, weights) for photos, weights in shown]
        queries = (
            projections if self.predictor is None else [self.predictor(p) for p in projections]
        )
        targets = projections
        if self.target is not None:  # else the online network's own projections, with gradient
            with torch.no_grad():
                targets = [self.target(photos, weights) for photos, weights in shown]
        # The objective compares the queries of each view with the targets of the other one.
        loss = self.objective(queries, targets, batch)
        seen = (torch.stack([x.detach() for x in xs]) for xs in (queries, targets))
        return loss, Embeddings(*seen, ids=batch.ids)

    @torch.no_grad()
    def update_target(self, rate: float) -> None:
        """Averages: target <- rate * target + (1 - rate) * online; does nothing without a target.

        Called after the optimiser's update, as in the official code.
        """
        if self.target is not None:
            move = get_ema_multi_avg_fn(rate)  # all parameters in one call
            move(list(self.target.parameters()), list(self.online.parameters()), 0)

    @torch.no_grad()
    def _coloured(self, images: Tensor, colour: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            mean, std = self.normalisation.mean, self.normalisation.std
            return apply_colour(images, colour, mean=mean, std=std)
