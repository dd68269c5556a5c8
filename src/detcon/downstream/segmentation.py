"""Semantic segmentation with the fully convolutional network of MoCo and BYOL.

MoCo (arXiv 1911.05722, appendix A.5) and BYOL (arXiv 2006.07733, appendix D.4): the encoder at
output stride 16, its last stage dilated; two 3 x 3 convolutions of 256 channels and dilation 6,
each with batch norm and ReLU; a 1 x 1 classifier; bilinear interpolation to the picture; cross
entropy.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from detcon.downstream.crops import LabelledBatch
from detcon.downstream.labelled import VOID


def fcn_head(in_channels: int, num_classes: int, *, channels: int, dilation: int) -> nn.Sequential:
    """Two dilated 3 x 3 convolutions and a 1 x 1 classifier."""
    layers: list[nn.Module] = []
    for width in (in_channels, channels):
        layers += [
            nn.Conv2d(width, channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        ]
    head = nn.Sequential(*layers, nn.Conv2d(channels, num_classes, 1))
    for layer in head:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    nn.init.normal_(head[-1].weight, std=0.01)  # pyright: ignore[reportArgumentType]
    nn.init.zeros_(head[-1].bias)  # pyright: ignore[reportArgumentType]
    return head


class Segmenter(nn.Module):
    """An encoder and a head that names the class of every cell, and so of every pixel."""

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
            head: Features to logits "b k h w".
            mean: What the encoder wants subtracted from colours in 0..1.
            std: What it wants them divided by then.
        """
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

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

    def logits(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b k y x"]:
        """The score of each class at each pixel."""
        cells = self.head(self.features(images)).float()
        return interpolate(cells, size=images.shape[-2:], mode="bilinear", align_corners=False)

    def classify(self, images: UInt8[Tensor, "b c y x"]) -> UInt8[Tensor, "b y x"]:
        """The likeliest class of each pixel."""
        return self.logits(images).argmax(1).to(torch.uint8)

    def forward(self, batch: LabelledBatch) -> tuple[Float[Tensor, ""], None]:
        """The loss of a batch, as the training loop wants it."""
        return pixel_loss(self.logits(batch.images), batch.labels), None


def pixel_loss(
    logits: Float[Tensor, "b k y x"], labels: UInt8[Tensor, "b y x"]
) -> Float[Tensor, ""]:
    """Mean cross entropy over the pixels that aren't void; 0 where all are."""
    total = cross_entropy(logits, labels.long(), ignore_index=VOID, reduction="sum")
    return total / (labels != VOID).sum().clamp(min=1)
