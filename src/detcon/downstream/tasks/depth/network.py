"""An encoder with a depth head."""

from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate

from detcon.data.colour import apply_colour
from detcon.data.labelled.crops import LabelledBatch
from detcon.downstream.network import Network
from detcon.downstream.tasks.depth.losses import LOSSES

NEAREST = 1e-3
"""The least prediction, in metres: the head is linear, and ratios need a positive depth."""


class DepthNetwork(Network):
    """Predicts the depth of every pixel: an encoder, and a head with one channel of metres."""

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        loss: str = "berhu",
    ) -> None:
        """Joins the parts; `loss` is one of `LOSSES`, the rest is as in `Network`."""
        super().__init__(encoder, head, mean=mean, std=std)
        self.loss = LOSSES[loss]
        self._mean, self._std = mean, std  # on the host

    def depths(
        self, images: UInt8[Tensor, "b c y x"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "b h w"]:
        """Metres at each pixel of the photos, or of a map of another size; `NEAREST` at least."""
        found = self._resized(self.features(images), size or tuple(images.shape[-2:]))
        return found.clamp(min=NEAREST)

    def forward(self, batch: LabelledBatch) -> tuple[Float[Tensor, ""], None]:
        """The loss of a batch, for the training loop."""
        assert batch.colour is not None
        images = apply_colour(batch.images, batch.colour, mean=self._mean, std=self._std)
        depth: Tensor = batch.labels
        return self.loss(self._resized(self.encoder(images), depth.shape[-2:]), depth), None

    def _resized(
        self, features: Float[Tensor, "b d h w"], size: tuple[int, ...]
    ) -> Float[Tensor, "b y x"]:
        cells = self.head(features).float()
        return interpolate(cells, size=size, mode="bilinear", align_corners=False)[:, 0]
