"""Grids of several sizes from the one grid of a plain transformer."""

import math
from itertools import pairwise

from jaxtyping import Float
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from detcon.models.encoders import STRIDES


class SimpleFeaturePyramid(nn.Module):
    """Four grids of about 4, 8, 16 and 32 pixels a cell, from a single one.

    ViTDet's (Li et al., arXiv 2203.16527, section 3, and detectron2's `SimpleFeaturePyramid`):
    finer grids by transposed 2 x 2 convolutions of stride 2, each of which halves the channels,
    with norm and GELU between two; coarser ones by max pooling. Then, for each, a 1 x 1 and a 3 x 3
    convolution, both with a norm over the channels of a cell.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        """Draws fresh weights.

        Args:
            in_channels: Of the grid.
            channels: Of the four grids.
            stride: Pixels to a cell of the grid. The power of two nearest to it counts: from cells
                of 14 pixels come grids of 3.5, 7, 14 and 28.
        """
        super().__init__()
        own = round(math.log2(stride))
        doublings = [own - int(math.log2(target)) for target in STRIDES]
        self.levels = nn.ModuleList(
            nn.Sequential(*_resized(in_channels, number), *_smoothed(in_channels, channels, number))
            for number in doublings
        )

    def forward(self, grid: Float[Tensor, "b d h w"]) -> list[Tensor]:
        """The four grids, the finest one first."""
        return [level(grid) for level in self.levels]


def _resized(in_channels: int, doublings: int) -> list[nn.Module]:
    """Layers that double the resolution so many times; below 0 they halve it."""
    if doublings <= 0:
        return [nn.MaxPool2d(2**-doublings)] if doublings else []
    widths = [in_channels // 2**number for number in range(doublings + 1)]
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(widths):
        layers += [nn.ConvTranspose2d(wide, narrow, 2, stride=2), LayerNorm2d(narrow), nn.GELU()]
    return layers[:-2]


def _smoothed(in_channels: int, channels: int, doublings: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels // 2 ** max(doublings, 0), channels, 1, bias=False),
        LayerNorm2d(channels),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        LayerNorm2d(channels),
    ]
