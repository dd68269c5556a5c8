"""Methods: from a batch to a loss. Five methods, one module, told apart by their parts.

| method     | regions | target | predictor | objective      |
|------------|---------|--------|-----------|----------------|
| DetCon-S   | 16      | shared | -         | contrast       |
| DetCon-B   | 16      | EMA    | MLP       | contrast       |
| SimCLR     | 1       | shared | -         | contrast       |
| BYOL       | 1       | EMA    | MLP       | regression     |
| supervised | 1       | -      | -         | classification |
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import get_ema_multi_avg_fn

from detcon.data.batch import Batch
from detcon.data.colour import apply_colour
from detcon.models.backbone_file import Normalisation
from detcon.models.heads import Head
from detcon.models.initialise import initialise
from detcon.ops.contrast import (
    contrastive_detection,
    contrastive_detection_of_both,
    region_regression,
)
from detcon.ops.regions import pool_regions


@dataclass(frozen=True)
class Embeddings:
    """What a step compared, for those who watch; no gradient.

    Attributes:
        query: The online network's projections, or predictions where there is a predictor.
        target: The candidates that the queries were compared with.
        ids: Which mask each region is.
    """

    query: Float[Tensor, "v b r d"]
    target: Float[Tensor, "v b r d"]
    ids: Integer[Tensor, "v b r"]


Objective = Callable[[Sequence[Tensor], Sequence[Tensor], Batch], Float[Tensor, ""]]


@dataclass(frozen=True)
class Contrast:
    """Both directions of contrastive detection, added, as in the official code."""

    temperature: float = 0.1
    local_negatives: bool = True

    def __call__(
        self, queries: Sequence[Tensor], targets: Sequence[Tensor], batch: Batch
    ) -> Float[Tensor, ""]:
        (one, two), (ids_one, ids_two) = queries, batch.ids
        if targets is queries and not _is_joint():
            return contrastive_detection_of_both(
                one,
                two,
                ids_one,
                ids_two,
                temperature=self.temperature,
                local_negatives=self.local_negatives,
            )
        of_one, of_two = (gather_photos(t) for t in targets)
        first = torch.distributed.get_rank() * one.shape[0] if _is_joint() else 0
        options = {
            "temperature": self.temperature,
            "first": first,
            "local_negatives": self.local_negatives,
        }
        return contrastive_detection(
            one, of_two, of_one, ids_one, ids_two, **options
        ) + contrastive_detection(two, of_one, of_two, ids_two, ids_one, **options)


@dataclass(frozen=True)
class Regression:
    """Both directions of BYOL's loss, added (Eq. 2 of arXiv:2006.07733 and its mirror image)."""

    def __call__(
        self, queries: Sequence[Tensor], targets: Sequence[Tensor], batch: Batch
    ) -> Float[Tensor, ""]:
        (one, two), (of_one, of_two), (ids_one, ids_two) = queries, targets, batch.ids
        return region_regression(one, of_two, ids_one, ids_two) + region_regression(
            two, of_one, ids_two, ids_one
        )


@dataclass(frozen=True)
class Classification:
    """Cross-entropy of the photo's class, read from its one region."""

    label_smoothing: float = 0.0

    def __call__(
        self, queries: Sequence[Tensor], targets: Sequence[Tensor], batch: Batch
    ) -> Float[Tensor, ""]:
        if batch.classes is None:
            raise ValueError("supervised pretraining needs the photos' classes; the batch has none")
        losses = [
            cross_entropy(q[:, 0].float(), batch.classes, label_smoothing=self.label_smoothing)
            for q in queries
        ]
        return torch.stack(losses).mean()


class Tower(nn.Module):
    """Photos and region weights to one embedding a region."""

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
    """A way to learn from batches, as a composition of its parts.

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
            objective: From queries and targets, view by view, to the loss.
            predictor: Between projections and queries.
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
        if self.target is not None:
            with torch.no_grad():
                targets = [self.target(photos, weights) for photos, weights in shown]
        loss = self.objective(queries, targets, batch)
        seen = (torch.stack([x.detach() for x in xs]) for xs in (queries, targets))
        return loss, Embeddings(*seen, ids=batch.ids)

    @torch.no_grad()
    def update_target(self, rate: float) -> None:
        """Moves the target: target <- rate * target + (1 - rate) * online. To be called after the
        optimiser's update, as in the official code. Without a target it does nothing.
        """
        if self.target is not None:
            move = get_ema_multi_avg_fn(rate)  # all parameters in one call
            move(list(self.target.parameters()), list(self.online.parameters()), 0)

    @torch.no_grad()
    def _coloured(self, images: Tensor, colour: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            mean, std = self.normalisation.mean, self.normalisation.std
            return apply_colour(images, colour, mean=mean, std=std)


def detcon_s(
    encoder: nn.Module,
    *,
    hidden: int = 2048,
    outputs: int = 128,
    temperature: float = 0.1,
    local_negatives: bool = True,
    normalisation: Normalisation | None = None,
) -> Method:
    """DetCon on SimCLR: one network for both views, regions contrasted with each other.

    Args:
        encoder: Made by `build_encoder`; has `num_channels`.
        hidden: Width of the projector.
        outputs: Size of the embedding.
        temperature: Of the contrast.
        local_negatives: Whether other masks of the same photo are negatives.
        normalisation: Of photos in [0, 1]; ImageNet's by default.
    """
    online = Tower(encoder, Head(_channels(encoder), hidden, outputs, output_norm=True))
    return Method(
        online, objective=Contrast(temperature, local_negatives), normalisation=normalisation
    )


def detcon_b(
    encoder: nn.Module,
    *,
    hidden: int = 4096,
    outputs: int = 256,
    temperature: float = 0.1,
    local_negatives: bool = True,
    normalisation: Normalisation | None = None,
) -> Method:
    """DetCon on BYOL: a predictor, and a target that follows; regions contrasted across them.

    The arguments are those of `detcon_s`.
    """
    online, predictor, target = _byol_parts(encoder, hidden, outputs)
    objective = Contrast(temperature, local_negatives)
    return Method(
        online,
        objective=objective,
        predictor=predictor,
        target=target,
        normalisation=normalisation,
    )


def simclr(
    encoder: nn.Module,
    *,
    hidden: int = 2048,
    outputs: int = 128,
    temperature: float = 0.1,
    normalisation: Normalisation | None = None,
) -> Method:
    """SimCLR (arXiv:2002.05709): DetCon-S on batches whose one region is the whole view.

    Its loss is twice NT-Xent. The arguments are those of `detcon_s`.
    """
    return detcon_s(
        encoder,
        hidden=hidden,
        outputs=outputs,
        temperature=temperature,
        normalisation=normalisation,
    )


def byol(
    encoder: nn.Module,
    *,
    hidden: int = 4096,
    outputs: int = 256,
    normalisation: Normalisation | None = None,
) -> Method:
    """BYOL (arXiv:2006.07733): regression of the whole view, no negatives.

    The arguments are those of `detcon_s`.
    """
    online, predictor, target = _byol_parts(encoder, hidden, outputs)
    return Method(
        online,
        objective=Regression(),
        predictor=predictor,
        target=target,
        normalisation=normalisation,
    )


def supervised(
    encoder: nn.Module,
    *,
    num_classes: int,
    label_smoothing: float = 0.0,
    normalisation: Normalisation | None = None,
) -> Method:
    """Classification of whole photos: the baseline with labels.

    Args:
        encoder: Made by `build_encoder`.
        num_classes: Classes are 0 to num_classes - 1.
        label_smoothing: Share of the label spread over all classes.
        normalisation: Of photos in [0, 1].
    """
    classifier = nn.Linear(_channels(encoder), num_classes)
    classifier.apply(initialise)
    online = Tower(encoder, classifier)
    return Method(online, objective=Classification(label_smoothing), normalisation=normalisation)


def _byol_parts(encoder: nn.Module, hidden: int, outputs: int) -> tuple[Tower, Head, Tower]:
    """Online tower, predictor, and a target that starts from weights of its own.

    The official code draws the target's first weights from another seed than the online
    network's, and its authors saw no difference; `initialise` draws ours. A timm encoder, which
    knows its own ways to start, is copied.
    """
    online = Tower(encoder, Head(_channels(encoder), hidden, outputs))
    target = copy.deepcopy(online)
    is_ours = not hasattr(encoder, "body")
    (target if is_ours else target.projector).apply(initialise)
    return online, Head(outputs, hidden, outputs), target


def _channels(encoder: nn.Module) -> int:
    channels = getattr(encoder, "num_channels", None)
    if not isinstance(channels, int):
        raise TypeError(f"{type(encoder).__name__} has no num_channels; use build_encoder(recipe)")
    return channels


def gather_photos(targets: Float[Tensor, "b r d"]) -> Float[Tensor, "n r d"]:
    """The targets of all ranks, in order of rank; gradients find their way back to each rank."""
    return _Gather.apply(targets) if _is_joint() else targets


def _is_joint() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


class _Gather(torch.autograd.Function):
    """All-gather whose backward sums over ranks; the mean is taken by DDP."""

    @staticmethod
    def forward(ctx, x):
        ctx.photos = x.shape[0]
        parts = [torch.empty_like(x) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(gradient)
        start = torch.distributed.get_rank() * ctx.photos
        return gradient[start : start + ctx.photos]
