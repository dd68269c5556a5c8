"""The network of classification: frozen features, pooled over the photo."""

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from detcon.downstream.network import Network
from detcon.downstream.tasks.probes.recipe import CentreRecipe
from detcon.photos import resize


def centre_crop(
    photo: UInt8[np.ndarray, "y x c"], recipe: CentreRecipe
) -> UInt8[np.ndarray, "{recipe.side} {recipe.side} c"]:
    """Resizes the shorter side, by area where that shrinks it, and cuts a square from the middle.

    Args:
        photo: Of any size.
        recipe: The sizes.
    """
    height, width = photo.shape[:2]
    factor = recipe.shorter / min(height, width)
    if factor != 1:
        wide, high = (max(recipe.shorter, round(side * factor)) for side in (width, height))
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        photo = resize(photo, (wide, high), how)
    top, left = ((have - recipe.side) // 2 for have in photo.shape[:2])
    return photo[top : top + recipe.side, left : left + recipe.side]


class Classifier(Network):
    """Classifies photos: an encoder, and a head from pooled features to scores."""

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        *,
        centre: CentreRecipe,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        """Joins the two; `centre` is the part of a photo that is looked at."""
        super().__init__(encoder, head, mean=mean, std=std)
        self.centre = centre

    def pooled(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b d"]:
        """The mean of a photo's features, in 32 bits."""
        return self.features(images).float().mean((2, 3))

    def scores(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b k"]:
        """The score of each class."""
        return self.head(self.pooled(images)).float()

    @torch.inference_mode()
    def name(self, photo: UInt8[np.ndarray, "y x c"]) -> int:
        """The likeliest class of one photo of any size."""
        image = torch.from_numpy(np.ascontiguousarray(centre_crop(photo, self.centre)))
        return int(self.scores(image.to(self.device).permute(2, 0, 1)[None]).argmax())
