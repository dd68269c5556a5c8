"""What backbones make of photos: feature maps, for pictures of their principal components."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from detcon.models.backbone_file import Backbone, load_backbone
from detcon.models.encoders import EncoderRecipe

SIDE = 384
"""Photos are brought to this longest side first: small ones would have a handful of cells."""


def random_backbone(recipe: EncoderRecipe, seed: int = 0) -> Backbone:
    """The same architecture with fresh weights, leaving torch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return load_backbone("random", encoder=recipe)


@torch.inference_mode()
def extract_features(
    backbone: Backbone, photos: Sequence[UInt8[np.ndarray, "_ _ 3"]]
) -> list[Float[np.ndarray, "c _ _"]]:
    """The backbone's last feature map of each photo, in evaluation mode, on the CPU."""
    encoder = backbone.encoder.eval()
    mean, std = (
        torch.tensor(values)[:, None, None]
        for values in (backbone.normalisation.mean, backbone.normalisation.std)
    )
    features = []
    for photo in photos:
        image = torch.from_numpy(_to_cells(photo)).permute(2, 0, 1) / 255
        features.append(encoder(((image - mean) / std)[None])[0].float().numpy())
    return features


def _to_cells(photo: UInt8[np.ndarray, "y x 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The photo with its longest side near SIDE and both sides multiples of 32."""
    scale = SIDE / max(photo.shape[:2])
    height, width = (max(32, 32 * round(scale * side / 32)) for side in photo.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(photo, (width, height), interpolation=how))
