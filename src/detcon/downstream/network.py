"""An encoder with a head: the network of every transfer task."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn


class Network(nn.Module):
    """An encoder and a head, with the normalisation of photos."""

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
        """Joins encoder and head.

        Args:
            encoder: Photos "b c y x" to features "b d h w".
            head: From features to what the task predicts.
            mean: Mean of the colours, in 0..1.
            std: Standard deviation of the colours.
        """
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return self.mean.device

    def normalise(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        """Normalises photos as the encoder expects."""
        return (images.float() / 255 - self.mean) / self.std

    @property
    def mean_colour(self) -> tuple[int, ...]:
        """The colour that normalises to about 0."""
        return tuple(round(255 * value) for value in self.mean.flatten().tolist())

    def features(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b d h w"]:
        """The encoder's features of photos."""
        return self.encoder(self.normalise(images))
