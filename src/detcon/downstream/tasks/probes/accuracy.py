"""Scores a classifier of photos: top-1 and top-5 accuracy."""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from detcon.data.labelled.crops import LabelledBatch
from detcon.downstream.task import Score
from detcon.downstream.tasks.probes.classifier import Classifier

FIRST = 5


def is_among_first(
    scores: Float[Tensor, "b k"], labels: Integer[Tensor, " b"], num: int
) -> Bool[Tensor, " b"]:
    """Whether the right class has one of the `num` highest scores.

    A tie counts as a miss: a vote of neighbours gives most classes 0, and one of those is no guess.
    A score that is no number is a miss too.
    """
    own = scores.gather(1, labels[:, None])
    return (~(scores < own)).sum(1) <= num


@torch.inference_mode()
def judge(network: Classifier, batches: Iterable[LabelledBatch], names: tuple[str, ...]) -> Score:
    """Top-1 accuracy in per cent, the same by class, and `top-5` where there are six classes.

    Args:
        network: In eval mode.
        batches: What to score on.
        names: Of the classes.
    """
    photos, right = torch.zeros(2, len(names), dtype=torch.float64)
    among = 0
    for batch in batches:
        batch = batch.to(network.device)
        scores = network.scores(batch.images)
        first = is_among_first(scores, batch.labels, 1)
        photos += torch.bincount(batch.labels, minlength=len(names)).cpu()
        right += torch.bincount(batch.labels[first], minlength=len(names)).cpu()
        among += int(is_among_first(scores, batch.labels, FIRST).sum())
    shares = (100 * right / photos).tolist()
    per_class = {n: s if seen else None for n, s, seen in zip(names, shares, photos.tolist())}
    total = float(photos.sum())
    score = Score("accuracy", 100 * float(right.sum()) / total, per_class=per_class)
    if len(names) > FIRST:
        score.figures[f"top-{FIRST}"] = 100 * among / total
    return score
