"""A backbone's grid of features for photos of any size."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from detcon.models.backbone_file import Backbone
from detcon.models.encoders import OwnEncoder, TimmEncoder, feature_grid
from detcon.photos import resize

_UNIT = 32  # of ResNets, with any output stride


def dense_features(
    backbone: Backbone, photo: UInt8[np.ndarray, "y x c"], *, side: int
) -> Float[np.ndarray, "d h w"]:
    """The backbone's last feature map of a photo; see `features_of_all`."""
    return features_of_all(backbone, [photo], side=side)[0]


@torch.inference_mode()
def features_of_all(
    backbone: Backbone, photos: Sequence[UInt8[np.ndarray, "_ _ c"]], *, side: int
) -> list[Float[np.ndarray, "d _ _"]]:
    """The backbone's last feature map of each photo, computed on the backbone's device.

    Switches the encoder to evaluation mode. Photos are resized to about `side` pixels on their
    longest side, so that both sides are multiples of the encoder's largest stride; those that have
    one size then make one batch.

    Raises:
        ValueError: The encoder can't take photos of this size, or with this number of channels.
    """
    encoder = backbone.encoder.eval()
    unit = _UNIT
    if isinstance(encoder, TimmEncoder):
        unit = encoder.pyramid_strides[-1]
    elif isinstance(encoder, OwnEncoder):  # whose windows, say, may need more than its stride
        unit = math.lcm(_UNIT, encoder.pyramid_strides[-1])
    batches: dict[tuple[int, ...], list[tuple[int, UInt8[np.ndarray, "h w c"]]]] = {}
    for place, photo in enumerate(photos):
        if photo.shape[2] != (channels := backbone.recipe.in_channels):
            raise ValueError(
                f"the backbone {backbone.name} takes photos of {channels} channels, but this one "
                f"has {photo.shape[2]}; give channels={channels}, or another backbone"
            )
        fitted = _to_multiples(photo, side, unit)
        batches.setdefault(fitted.shape, []).append((place, fitted))
    found: dict[int, Float[np.ndarray, "d h w"]] = {}
    for batch in batches.values():
        grids = _grids(backbone, np.stack([fitted for _, fitted in batch]))
        found |= {place: grid for (place, _), grid in zip(batch, grids, strict=True)}
    return [found[place] for place in range(len(photos))]


def _grids(
    backbone: Backbone, photos: UInt8[np.ndarray, "b h w c"]
) -> Float[np.ndarray, "b d rows columns"]:
    encoder = backbone.encoder
    device = next(encoder.parameters()).device
    mean, std = (
        torch.tensor(values, device=device)[:, None, None]
        for values in (backbone.normalisation.mean, backbone.normalisation.std)
    )
    images = torch.from_numpy(photos).to(device).permute(0, 3, 1, 2).contiguous() / 255
    try:
        return encoder((images - mean) / std).float().cpu().numpy()
    except (AssertionError, RuntimeError):
        feature_grid(encoder, photos.shape[1:3])  # has its own message if the size is the reason
        raise


def _to_multiples(
    photo: UInt8[np.ndarray, "y x c"], side: int, unit: int
) -> UInt8[np.ndarray, "h w c"]:
    scale = side / max(photo.shape[:2])
    height, width = (max(unit, unit * round(scale * one / unit)) for one in photo.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return resize(photo, (width, height), how)
