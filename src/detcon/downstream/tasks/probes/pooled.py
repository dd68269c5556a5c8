"""Pooled features of all training photos, computed once."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from detcon.data.labelled.examples import Examples, LabelError
from detcon.downstream.tasks.probes.classifier import Classifier
from detcon.downstream.tasks.probes.photos import centre_crops

MEMORY = 32 * 2**30
"""More bytes of features are refused; ImageNet's of a ResNet-50, with mirror images, are 21 GB."""


@torch.no_grad()
def pool_photos(
    network: Classifier, examples: Examples, *, mirrored: bool, workers: int = 0
) -> tuple[Float[Tensor, "n d"], Integer[Tensor, " n"]]:
    """The pooled features of photos, and their classes.

    Args:
        network: In eval mode.
        examples: Classified photos.
        mirrored: Adds their mirror images.
        workers: Processes that read and cut photos.

    Raises:
        LabelError: More features than can be kept.
        UnreadablePhoto: A photo is damaged.
    """
    features, labels, size = [], [], 0
    for batch in centre_crops(examples, network.centre, title="features", workers=workers):
        batch = batch.to(network.device)
        for images in (batch.images, batch.images.flip(-1))[: 1 + mirrored]:
            features.append(network.pooled(images))
            labels.append(batch.labels)
            size += features[-1].nbytes
        if size > MEMORY:
            raise LabelError(
                f"the features of all labelled photos need more than {MEMORY >> 30} GiB; give "
                f"labels=N to use fewer"
            )
    return torch.cat(features), torch.cat(labels)
