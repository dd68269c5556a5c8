"""Objectives of the methods: contrast, regression, classification."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import cross_entropy

from detcon.data.batch import Batch
from detcon.methods.ranks import gather_photos, groups_of_rank, rank_and_world
from detcon.ops.contrast import (
    contrastive_detection,
    contrastive_detection_of_both,
    region_regression,
)

Objective = Callable[[Sequence[Tensor], Sequence[Tensor], Batch], Float[Tensor, ""]]


@dataclass(frozen=True)
class Contrast:
    """Both directions of contrastive detection, added, as in the official code.

    Attributes:
        temperature: Divides the cosine similarities.
        local_negatives: Whether other masks of the same photo are negatives.
        num_groups: The joined batch of all ranks is cut into this many groups of photos; the
            candidates of a region are those of its group. 1: the whole batch, as in the paper;
            its "128x fewer negatives" is 128.
        own_view: Whether regions of the anchor's own view are negatives too. Without them the
            candidates are those of the other view alone, of all photos. It is for a single view
            (`views.second`), where both views hold the same masks of the same pixels: every
            region of the anchor's own view is in the other one too, so each negative would count
            twice against a positive that counts once. For DetCon-B, predictor and target are then
            compared within a view.
        within: Whether the candidates are a teacher's, of the anchor's own view: the form of
            SLidR's loss (arXiv:2203.16258, Eq. 2), with the weights of copies as in DetCon.
    """

    temperature: float = 0.1
    local_negatives: bool = True
    num_groups: int = 1
    own_view: bool = True
    within: bool = False

    def __call__(
        self, queries: Sequence[Tensor], targets: Sequence[Tensor], batch: Batch
    ) -> Float[Tensor, ""]:
        photos = len(queries[0])
        groups = list(groups_of_rank(photos, self.num_groups))
        if photos % len(groups[0].photos):  # groups reach across ranks
            candidates, offset = [gather_photos(target) for target in targets], 0
        else:
            candidates, offset = targets, photos * rank_and_world()[0]
        losses = []
        for group in groups:
            mine = group.mine
            theirs = slice(group.photos.start - offset, group.photos.stop - offset)
            loss = self._of_group(
                [query[mine] for query in queries],
                None if candidates is queries else [one[theirs] for one in candidates],
                batch.ids[:, mine],
                group.first,
            )
            losses.append(loss * (mine.stop - mine.start) / photos)
        return torch.stack(losses).sum()

    def _of_group(
        self,
        queries: Sequence[Tensor],
        candidates: Sequence[Tensor] | None,
        ids: Integer[Tensor, "2 b r"],
        first: int,
    ) -> Float[Tensor, ""]:
        """The loss of a group's photos; candidates None: the queries themselves."""
        options = {"temperature": self.temperature, "local_negatives": self.local_negatives}
        if candidates is None and self.own_view:
            return contrastive_detection_of_both(*queries, *ids, **options)
        options["first"] = 0 if candidates is None else first
        candidates = queries if candidates is None else candidates
        if self.within:
            views = zip(queries, candidates, ids, strict=True)
            losses = [contrastive_detection(q, c, None, i, i, **options) for q, c, i in views]
            return torch.stack(losses).sum()
        (one, two), (of_one, of_two), (ids_one, ids_two) = queries, candidates, ids
        own_one, own_two = (of_one, of_two) if self.own_view else (None, None)
        return contrastive_detection(
            one, of_two, own_one, ids_one, ids_two, **options
        ) + contrastive_detection(two, of_one, own_two, ids_two, ids_one, **options)


@dataclass(frozen=True)
class Regression:
    """Both directions of BYOL's loss, added (Eq. 2 of arXiv:2006.07733 and its mirror image).

    Attributes:
        within: Whether the targets are a teacher's, and each region is regressed onto itself in
            the same view: 2 - 2 * cosine, added over the views.
    """

    within: bool = False

    def __call__(
        self, queries: Sequence[Tensor], targets: Sequence[Tensor], batch: Batch
    ) -> Float[Tensor, ""]:
        (one, two), (of_one, of_two), (ids_one, ids_two) = queries, targets, batch.ids
        if self.within:
            return region_regression(one, of_one, ids_one, ids_one) + region_regression(
                two, of_two, ids_two, ids_two
            )
        return region_regression(one, of_two, ids_one, ids_two) + region_regression(
            two, of_one, ids_two, ids_one
        )


@dataclass(frozen=True)
class CrossEntropy:
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
