"""An encoder with a head on it: what every transfer task trains."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn


class Network(nn.Module):
    """An encoder, a head, and the way from bytes to what the encoder was trained on."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        """Puts the two together.

        Args:
            encoder: Photos "b c y x" to features "b d h w".
            head: Whatever the task makes of features.
            mean: What the encoder wants subtracted from colours in 0..1.
            std: What it wants them divided by then.
        """
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.mean.device

    def normalise(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        """From bytes to what the encoder was trained on."""
        return (images.float() / 255 - self.mean) / self.std

    @property
    def mean_colour(self) -> tuple[int, ...]:
        """The bytes that normalise to about 0."""
        return tuple(round(255 * value) for value in self.mean.flatten().tolist())

    def features(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b d h w"]:
        """What the encoder makes of photos."""
        return self.encoder(self.normalise(images))
