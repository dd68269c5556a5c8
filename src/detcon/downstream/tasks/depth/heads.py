"""Heads that turn a grid of features into a depth map of several times its resolution."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from detcon.downstream.tasks.depth.recipe import DepthRecipe


def up_convolution(in_channels: int, channels: int) -> nn.ConvTranspose2d:
    """Doubles the resolution: features spread out among zeros, then a 5 x 5 convolution.

    Laina et al. (arXiv 1606.00373) do this fast: at each of the four kinds of pixels
    of the result, told apart by even and odd rows and columns, only 3 x 3, 3 x 2, 2 x 3 or 2 x 2
    of the 5 x 5 weights meet a feature, so four small convolutions are interleaved. A transposed
    convolution is the same sum with the same number of products in one call; on a CPU it took 0.4
    to 0.7 of the time of four interleaved ones for narrow heads, and 1.7 times theirs for the
    protocol's first block. The TensorFlow code released with the paper looks one row or column
    further back at odd places, which is no 5 x 5 convolution.
    """
    return nn.ConvTranspose2d(
        in_channels, channels, 5, stride=2, padding=2, output_padding=1, bias=False
    )


class UpProjection(nn.Module):
    """A residual block that doubles the resolution (Laina et al.).

    One branch is an up-convolution and a 3 x 3, the other, the projection, an up-convolution
    alone; each with batch norm. Their sum is rectified.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            up_convolution(in_channels, channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.projection = nn.Sequential(
            up_convolution(in_channels, channels), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        return torch.relu(self.branch(x) + self.projection(x))


def depth_head(in_channels: int, recipe: DepthRecipe) -> nn.Sequential:
    """Builds the head that the recipe names, with fresh weights.

    Args:
        in_channels: Of the features.
        recipe: Says `widths`, and which head. `up_projection` is that of Laina et al. and BYOL: a
            1 x 1 convolution with batch norm to half the channels, the up-projections, and a 3 x 3
            to one channel. `deconvolution`: transposed 4 x 4 convolutions of stride 2 with batch
            norm and ReLU, and a 1 x 1 (Xiao et al., arXiv 1804.06208, have three for poses).
    """
    if recipe.head == "up_projection":
        half = in_channels // 2
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, half, 1, bias=False),
            nn.BatchNorm2d(half),
            *(UpProjection(a, b) for a, b in pairwise((half, *recipe.widths))),
            nn.Conv2d(recipe.widths[-1], 1, 3, padding=1),
        ]
    else:
        layers = []
        for a, b in pairwise((in_channels, *recipe.widths)):
            layers.append(nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False))
            layers += [nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
        layers.append(nn.Conv2d(recipe.widths[-1], 1, 1))
    head = nn.Sequential(*layers)
    for layer in head.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if isinstance(layer, nn.ConvTranspose2d):  # torch counts its channels the other way round
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            layer.weight.data.mul_(layer.stride[0])  # each pixel sees a quarter of the weights
    nn.init.normal_(head[-1].weight, std=0.01)  # pyright: ignore[reportArgumentType]
    nn.init.zeros_(head[-1].bias)  # pyright: ignore[reportArgumentType]
    return head
