"""From photos and region weights to one vector a region: a network that learns, and a teacher.

Axes: b images, c channels, y x pixels, r regions, h w the network's grid, d the vector.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from detcon.models.recipe import Normalisation
from detcon.ops.regions import pool_regions


class Tower(nn.Module):
    """Encoder and projector: from photos and region weights to one embedding per region."""

    def __init__(self, encoder: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.encoder, self.projector = encoder, projector

    def forward(
        self, photos: Float[Tensor, "b c y x"], weights: Float[Tensor, "b r h w"]
    ) -> Float[Tensor, "b r d"]:
        return self.projector(_pooled(self.encoder(photos), weights))


class Teacher(nn.Module):
    """A frozen encoder, whose own features of a region are the region's target.

    It may be of any architecture and grid: it takes photos in its own normalisation and, if asked,
    at its own size. It stays in eval mode, with the statistics of its own norms. Its tensors aren't
    in the state dict, so that a checkpoint doesn't repeat what lies in a file and never changes.
    """

    def __init__(
        self, encoder: nn.Module, normalisation: Normalisation, *, size: int | None = None
    ) -> None:
        """Freezes a trained encoder.

        Args:
            encoder: A network with `num_channels`, as that of `load_backbone(source)`.
            normalisation: Of photos in [0, 1], as the encoder expects it.
            size: The side in pixels to which views are resized for it; None for as they are.
        """
        super().__init__()
        self.encoder, self.normalisation, self.size = encoder, normalisation, size
        self.requires_grad_(False).eval()
        self.register_state_dict_post_hook(_leave_out)
        self.register_load_state_dict_pre_hook(_fill_in)

    def train(self, mode: bool = True) -> "Teacher":
        """Stays in eval mode, whatever is asked."""
        return super().train(False)

    def forward(
        self, photos: Float[Tensor, "b c y x"], weights: Float[Tensor, "b r h w"]
    ) -> Float[Tensor, "b r d"]:
        if self.size is not None:
            photos = interpolate(photos, (self.size, self.size), mode="bilinear", antialias=True)
        return _pooled(self.encoder(photos), weights)

    def renormalised(
        self, photos: Float[Tensor, "b c y x"], normalisation: Normalisation
    ) -> Float[Tensor, "b c y x"]:
        """Photos in the teacher's normalisation, from photos in another one."""
        if normalisation == self.normalisation:
            return photos
        mean, std, own_mean, own_std = (
            torch.tensor(values, device=photos.device)[:, None, None]
            for one in (normalisation, self.normalisation)
            for values in (one.mean, one.std)
        )
        return (photos * std + (mean - own_mean)) / own_std


def _pooled(
    features: Float[Tensor, "b c _ _"], weights: Float[Tensor, "b r h w"]
) -> Float[Tensor, "b r c"]:
    if features.shape[2:] != weights.shape[2:]:
        raise ValueError(
            f"the encoder gives a grid of {features.shape[2]} x {features.shape[3]} cells, but "
            f"the masks came on {weights.shape[2]} x {weights.shape[3]}; make views with "
            f"grid=feature_grid(encoder, size)"
        )
    return pool_regions(features, weights)


def _leave_out(_teacher: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        del state[name]


def _fill_in(teacher: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Gives a state without the teacher's tensors those that it has."""
    own = (*teacher.named_parameters(), *teacher.named_buffers())
    state.update({prefix + name: tensor for name, tensor in own})
