"""A method: encoder and heads, an averaged copy or a teacher as target, and an objective."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from detcon.data.batch import Batch
from detcon.data.colour import apply_colour
from detcon.methods.objectives import Objective
from detcon.methods.towers import Teacher, Tower
from detcon.models.recipe import Normalisation
from detcon.timing import timed


@dataclass(frozen=True)
class Embeddings:
    """The embeddings that a step compared, for monitoring; no gradient.

    Attributes:
        query: The online network's projections, or predictions where there is a predictor.
        target: The candidates that the queries were compared with.
        ids: Which mask each region is.
        within: Whether a query was compared with the targets of its own view, as a teacher's are;
            else with those of the other one.
    """

    query: Float[Tensor, "v b r d"]
    target: Float[Tensor, "v b r d"]
    ids: Integer[Tensor, "v b r"]
    within: bool = False


class Method(nn.Module):
    """A self-supervised (or supervised) method, composed of its parts.

    Each view passes encoder and heads alone, so that batch norm takes its statistics view by
    view. The target sees the same ids and weights, runs in training mode with batch statistics of
    its own, gets no gradient, and follows by `update_target` after each update: its parameters,
    not its buffers. All as in the official code (`detcon_b.py`). A teacher as target sees the same
    views and regions, the latter on its own grid, and never changes.
    """

    def __init__(
        self,
        online: Tower,
        *,
        objective: Objective,
        predictor: nn.Module | None = None,
        target: Tower | Teacher | None = None,
        normalisation: Normalisation | None = None,
    ) -> None:
        """Joins the parts.

        Args:
            online: The network that learns.
            objective: Computes the loss from the queries and targets of each view.
            predictor: Maps projections to queries; none by default.
            target: Gives the candidates, an averaged copy or a teacher; None lets the online
                network give them, with gradient.
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
        with timed("colour"):
            views = [
                self._coloured(images, colour) for images, colour in zip(batch.images, batch.colour)
            ]
        with timed("forward"):
            shown = zip(views, batch.weights, strict=True)
            projections = [self.online(photos, weights) for photos, weights in shown]
            queries = (
                projections if self.predictor is None else [self.predictor(p) for p in projections]
            )
            targets = projections
            if self.target is not None:  # else the online network's own projections, with gradient
                targets = self._targets(views, batch)
        with timed("loss"):
            # compares queries with the targets of the other view, or with the teacher's
            loss = self.objective(queries, targets, batch)
        seen = (torch.stack([x.detach() for x in xs]) for xs in (queries, targets))
        return loss, Embeddings(*seen, ids=batch.ids, within=isinstance(self.target, Teacher))

    @torch.no_grad()
    def update_target(self, rate: float) -> None:
        """Averages: target <- rate * target + (1 - rate) * online; does nothing without a copy.

        Called after the optimiser's update, as in the official code.
        """
        if isinstance(self.target, Tower):
            move = get_ema_multi_avg_fn(rate)  # all parameters in one call
            move(list(self.target.parameters()), list(self.online.parameters()), 0)

    @torch.no_grad()
    def _targets(self, views: Sequence[Tensor], batch: Batch) -> list[Tensor]:
        """What the target makes of the regions of each view."""
        assert self.target is not None
        weights = batch.weights
        if isinstance(self.target, Teacher):
            views = [self.target.renormalised(view, self.normalisation) for view in views]
            weights = weights if batch.teacher_weights is None else batch.teacher_weights
        return [self.target(photos, part) for photos, part in zip(views, weights, strict=True)]

    @torch.no_grad()
    def _coloured(self, images: Tensor, colour: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            mean, std = self.normalisation.mean, self.normalisation.std
            return apply_colour(images, colour, mean=mean, std=std)
