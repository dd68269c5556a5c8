"""The network of depth prediction: an encoder, a head that enlarges its grid, and the losses."""

from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate

from detcon.data.colour import apply_colour
from detcon.data.labelled.crops import LabelledBatch
from detcon.downstream.network import Network, finite
from detcon.downstream.tasks.depth.recipe import DepthRecipe
from detcon.models.recipe import Normalisation
from detcon.models.simple_pyramid import SimpleFeaturePyramid

NEAREST = 1e-3
"""The least prediction, in metres: the head is linear, and ratios need a positive depth."""


class DepthNetwork(Network):
    """Predicts the depth of every pixel; the head has one channel of metres."""

    def __init__(
        self, encoder: nn.Module, head: nn.Module, normalisation: Normalisation, loss: str
    ) -> None:
        """Joins the parts; `loss` is one of `LOSSES`."""
        super().__init__(encoder, head, normalisation)
        self.loss = LOSSES[loss]
        self._mean, self._std = normalisation.mean, normalisation.std  # on the host

    def depths(
        self, images: UInt8[Tensor, "b c y x"], size: tuple[int, ...] | None = None
    ) -> Float[Tensor, "b h w"]:
        """Metres at each pixel of the photos, or of a map of another size; `NEAREST` at least."""
        found = self._resized(self.features(images), size or tuple(images.shape[-2:]))
        return finite(found).clamp(min=NEAREST)

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


def up_convolution(in_channels: int, channels: int) -> nn.ConvTranspose2d:
    """Doubles the resolution: features spread out among zeros, then a 5 x 5 convolution.

    Laina et al. (arXiv 1606.00373) interleave four small convolutions: at even and odd rows and
    columns, only 3 x 3, 3 x 2, 2 x 3 or 2 x 2 of the 5 x 5 weights meet a feature. A transposed
    convolution is the same sum, with the same number of products, in one call. The TensorFlow code
    released with the paper looks one row or column further back at odd places, which is no 5 x 5
    convolution.
    """
    return nn.ConvTranspose2d(
        in_channels, channels, 5, stride=2, padding=2, output_padding=1, bias=False
    )


class UpProjection(nn.Module):
    """A residual block that doubles the resolution (Laina et al.).

    One branch is an up-convolution and a 3 x 3; the other, the projection, an up-convolution. Each
    has batch norm; their sum is rectified.
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


class PyramidSum(nn.Module):
    """A simple feature pyramid, whose coarser grids are enlarged to the finest one's and added.

    The sum is what Panoptic FPN makes of a pyramid (Kirillov et al., arXiv 1901.02446), without its
    convolutions between the doublings.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.pyramid = SimpleFeaturePyramid(in_channels, channels, stride)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        finest, *others = self.pyramid(x)
        size = finest.shape[-2:]
        enlarged = (interpolate(x, size, mode="bilinear", align_corners=False) for x in others)
        return torch.relu(sum(enlarged, finest))


def depth_head(in_channels: int, stride: int, recipe: DepthRecipe) -> nn.Sequential:
    """The head that the recipe names, with fresh weights, for a grid of `stride` pixels a cell.

    `up_projection`, of Laina et al. and BYOL: a 1 x 1 convolution with batch norm to half the
    channels, the up-projections, and a 3 x 3 to one channel. `deconvolution`: transposed 4 x 4
    convolutions of stride 2 with batch norm and ReLU, and a 1 x 1 (Xiao et al., arXiv 1804.06208,
    have three for poses). `pyramid`: the sum of a simple feature pyramid, and a 3 x 3.
    """
    if recipe.head == "up_projection":
        half = in_channels // 2
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, half, 1, bias=False),
            nn.BatchNorm2d(half),
            *(UpProjection(a, b) for a, b in pairwise((half, *recipe.widths))),
            nn.Conv2d(recipe.widths[-1], 1, 3, padding=1),
        ]
    elif recipe.head == "pyramid":
        width = recipe.widths[-1]
        layers = [PyramidSum(in_channels, width, stride), nn.Conv2d(width, 1, 3, padding=1)]
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


SHARE = 0.2
"""Share of the batch's greatest error above which the reverse Huber loss is quadratic."""


def reverse_huber(
    predicted: Float[Tensor, "b y x"], measured: Float[Tensor, "b y x"]
) -> Float[Tensor, ""]:
    """The reverse Huber loss, berHu (Laina et al., arXiv 1606.00373).

    An error e costs |e| up to c, and (e^2 + c^2) / 2c above, where c is a fifth of the greatest
    |e| among the measured pixels of the batch (of this rank's part of it) and takes no gradient.
    Depths are in metres, NaN where nothing was measured.

    Returns:
        The mean over the measured pixels; 0 where there are none. Nothing waits for the device.
    """
    error, count = _errors(predicted, measured)
    c = SHARE * error.detach().amax()
    square = (error.square() + c.square()) / (2 * c.clamp(min=1e-12))
    return torch.where(error <= c, error, square).sum() / count


def absolute(
    predicted: Float[Tensor, "b y x"], measured: Float[Tensor, "b y x"]
) -> Float[Tensor, ""]:
    """The mean absolute error over the measured pixels, in metres; 0 where there are none."""
    error, count = _errors(predicted, measured)
    return error.sum() / count


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"berhu": reverse_huber, "l1": absolute}


def _errors(
    predicted: Float[Tensor, "b y x"], measured: Float[Tensor, "b y x"]
) -> tuple[Float[Tensor, "b y x"], Float[Tensor, ""]]:
    """Absolute errors, 0 where nothing was measured; the number of measured pixels, at least 1."""
    valid = ~measured.isnan()
    error = (predicted - measured.nan_to_num(0.0)).abs()
    error = torch.where(valid, error, torch.zeros_like(error))
    return error, valid.sum().clamp(min=1).to(error.dtype)
