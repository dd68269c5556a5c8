"""ResNet v1, down to its last grid: torchvision's names and numbers, and more depths."""

import math
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from detcon.models.recipe import BASIC, BOTTLENECK
from detcon.models.recompute import recomputed


class Conv(nn.Conv2d):
    """A convolution without bias; padding is even, or TensorFlow's SAME (odd pixels at the end)."""

    def __init__(
        self, c: int, d: int, size: int, *, stride: int = 1, dilation: int = 1, same: bool = False
    ) -> None:
        self.uneven = same and stride > 1 and size > 1
        padding = 0 if self.uneven else dilation * (size - 1) // 2
        super().__init__(c, d, size, stride, padding, dilation, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if self.uneven:
            input = pad_same(input, self.kernel_size[0], self.stride[0])
        return super().forward(input)


def pad_same(x: Tensor, size: int, stride: int, value: float = 0.0) -> Tensor:
    """Pads as TensorFlow's SAME does for a window of `size` that moves by `stride`."""
    before_after = []
    for length in (x.shape[3], x.shape[2]):
        # (ceil(length / stride) - 1) * stride + size - length, which is no less than 0 as windows
        # overlap or touch; TensorFlow puts the odd pixel behind
        total = size - stride + -length % stride
        before_after += [total // 2, total - total // 2]
    return pad(x, before_after, value=value)


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or 1x1, 3x3 (strided) and 1x1."""

    def __init__(
        self,
        c: int,
        inner: int,
        *,
        bottleneck: bool,
        stride: int,
        dilation: int,
        same: bool,
        project: bool = False,
    ) -> None:
        super().__init__()
        strided = {"stride": stride, "dilation": dilation, "same": same}
        out = inner * 4 if bottleneck else inner
        if bottleneck:
            self.conv1, self.bn1 = Conv(c, inner, 1), nn.BatchNorm2d(inner)
            self.conv2, self.bn2 = Conv(inner, inner, 3, **strided), nn.BatchNorm2d(inner)
            self.conv3, self.bn3 = Conv(inner, out, 1), nn.BatchNorm2d(out)
        else:
            self.conv1, self.bn1 = Conv(c, inner, 3, **strided), nn.BatchNorm2d(inner)
            self.conv2, self.bn2 = Conv(inner, out, 3, dilation=dilation), nn.BatchNorm2d(out)
        self.bottleneck = bottleneck
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if project or stride > 1 or c != out:
            self.downsample = nn.Sequential(Conv(c, out, 1, stride=stride), nn.BatchNorm2d(out))

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn3 if self.bottleneck else self.bn2

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.bottleneck:
            y = self.bn3(self.conv3(self.relu(y)))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """ResNet v1 with the stride on the 3x3 convolution (He et al., 2016), down to its last grid.

    Keys, shapes and features are torchvision's for depths 18 to 152; there is also depth 200, and
    any width (ResNet-200 2x: 250 M parameters, BYOL table 9). A stride of 16 or 8 turns the last
    strides into dilation, as torchvision's `replace_stride_with_dilation`.
    """

    def __init__(
        self,
        depth: int,
        *,
        width: float = 1.0,
        stride: int = 32,
        same_padding: bool = False,
        in_channels: int = 3,
        project_first: bool = False,
    ) -> None:
        super().__init__()
        stem = round(64 * width)
        self.conv1 = Conv(in_channels, stem, 7, stride=2, same=same_padding)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=0 if same_padding else 1)
        self.same_padding = same_padding
        bottleneck = depth in BOTTLENECK
        blocks = (BOTTLENECK if bottleneck else BASIC)[depth]
        make = partial(Block, bottleneck=bottleneck, same=same_padding)
        c, reached, dilation = stem, 4, 1
        stages = []
        self.pyramid_channels: list[int] = []
        self.pyramid_strides: list[int] = []
        for number, num_blocks in enumerate(blocks):
            inner = round(64 * 2**number * width)
            # a stage that would exceed the output stride keeps its grid: its first block strides by
            # 1, and the blocks after it see twice as far apart
            step = 1 if number == 0 or reached >= stride else 2
            later = dilation * 2 if number > 0 and step == 1 else dilation
            project = project_first and number == 0
            stage = [make(c, inner, stride=step, dilation=dilation, project=project)]
            c, reached, dilation = inner * (4 if bottleneck else 1), reached * step, later
            stage += [make(c, inner, stride=1, dilation=dilation) for _ in range(num_blocks - 1)]
            stages.append(nn.Sequential(*stage))
            self.pyramid_channels.append(c)
            self.pyramid_strides.append(reached)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.num_channels = c
        self.recompute = False

    def recompute_activations(self) -> None:
        """Keeps the inputs of blocks for the backward pass, and computes the rest again."""
        self.recompute = True

    def forward(self, photos: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d h w"]:
        x = self._stem(photos)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = self._through(stage, x)
        return x

    def pyramid(self, photos: Float[Tensor, "b c y x"]) -> list[Tensor]:
        """The grid of each of the four stages, the last one being what `forward` gives."""
        grids = [self._through(self.layer1, self._stem(photos))]
        for stage in (self.layer2, self.layer3, self.layer4):
            grids.append(self._through(stage, grids[-1]))
        return grids

    def _stem(self, photos: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(photos)))
        return self.maxpool(pad_same(x, 3, 2, -torch.inf) if self.same_padding else x)

    def _through(self, stage: nn.Module, x: Tensor) -> Tensor:
        for block in stage.children():
            again = self.recompute and torch.is_grad_enabled()
            x = recomputed(block, x) if again else block(x)
        return x


def initialise(module: nn.Module, *, zero_init: bool = True) -> None:
    """Draws fresh weights as the official code does: truncated normal, 1/sqrt(fan in); biases 0.

    The scale of the last norm of each residual branch starts at 0, so that a block starts as the
    identity (`scale_init` of Haiku's ResNet blocks); without `zero_init` at 1, as other norms'.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        std = 1 / math.sqrt(module.weight[0].numel())
        nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        module.reset_parameters()
    if zero_init and isinstance(module, Block):
        nn.init.zeros_(module.last_norm.weight)
