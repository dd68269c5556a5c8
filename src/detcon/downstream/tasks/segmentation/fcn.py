"""Semantic segmentation with the fully convolutional network of MoCo and BYOL.

MoCo (arXiv 1911.05722, appendix A.5) and BYOL (arXiv 2006.07733, appendix D.4): the encoder at
output stride 16, its last stage dilated; two 3 x 3 convolutions of 256 channels and dilation 6,
each with batch norm and ReLU; a 1 x 1 classifier; bilinear interpolation to the photo; cross
entropy.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from detcon.data.labelled.crops import LabelledBatch
from detcon.downstream.network import Network, finite
from detcon.formats.segments import VOID


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


class Segmenter(Network):
    """An encoder and a head, features to logits, that names the class of every pixel."""

    def logits(self, images: UInt8[Tensor, "b c y x"]) -> Float[Tensor, "b k y x"]:
        """The score of each class at each pixel."""
        cells = self.head(self.features(images)).float()
        return interpolate(cells, size=images.shape[-2:], mode="bilinear", align_corners=False)

    def classify(self, images: UInt8[Tensor, "b c y x"]) -> UInt8[Tensor, "b y x"]:
        """The likeliest class of each pixel."""
        return finite(self.logits(images)).argmax(1).to(torch.uint8)

    def forward(self, batch: LabelledBatch) -> tuple[Float[Tensor, ""], None]:
        """The loss of a batch, as the training loop wants it."""
        return pixel_loss(self.logits(batch.images), batch.labels), None


def pixel_loss(
    logits: Float[Tensor, "b k y x"], labels: UInt8[Tensor, "b y x"]
) -> Float[Tensor, ""]:
    """Mean cross entropy over the pixels that aren't void; 0 where all are."""
    total = cross_entropy(logits, labels.long(), ignore_index=VOID, reduction="sum")
    return total / (labels != VOID).sum().clamp(min=1)
