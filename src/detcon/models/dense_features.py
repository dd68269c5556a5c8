"""A backbone's grid of features for one photo of any size."""

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from detcon.models.backbone_file import Backbone
from detcon.models.encoders import TimmEncoder, feature_grid
from detcon.photos import resize

_UNIT = 32  # of ResNets, with any output stride


@torch.inference_mode()
def dense_features(
    backbone: Backbone, photo: UInt8[np.ndarray, "y x c"], *, side: int
) -> Float[np.ndarray, "d h w"]:
    """The backbone's last feature map of a photo, computed on the backbone's device.

    Switches the encoder to evaluation mode. The photo is resized to about `side` pixels on its
    longest side, so that both sides are multiples of the encoder's largest stride.

    Raises:
        ValueError: The encoder can't take photos of this size, or with this number of channels.
    """
    if photo.shape[2] != (channels := backbone.recipe.in_channels):
        raise ValueError(
            f"the backbone {backbone.name} takes photos of {channels} channels, but this one has "
            f"{photo.shape[2]}; give channels={channels}, or another backbone"
        )
    encoder = backbone.encoder.eval()
    device = next(encoder.parameters()).device
    mean, std = (
        torch.tensor(values, device=device)[:, None, None]
        for values in (backbone.normalisation.mean, backbone.normalisation.std)
    )
    unit = encoder.pyramid_strides[-1] if isinstance(encoder, TimmEncoder) else _UNIT
    fitted = _to_multiples(photo, side, unit)
    image = torch.from_numpy(fitted).to(device).permute(2, 0, 1) / 255
    try:
        return encoder(((image - mean) / std)[None])[0].float().cpu().numpy()
    except (AssertionError, RuntimeError):
        feature_grid(encoder, fitted.shape[:2])  # has its own message if the size is the reason
        raise


def _to_multiples(
    photo: UInt8[np.ndarray, "y x c"], side: int, unit: int
) -> UInt8[np.ndarray, "h w c"]:
    scale = side / max(photo.shape[:2])
    height, width = (max(unit, unit * round(scale * one / unit)) for one in photo.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return resize(photo, (width, height), how)
