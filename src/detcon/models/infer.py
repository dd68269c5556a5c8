"""The architecture of a ResNet, read from the shapes of its tensors."""

import re
from collections.abc import Mapping

from torch import Tensor

from detcon.models.key_styles import UnknownKeys
from detcon.models.recipe import BASIC, BOTTLENECK, EncoderRecipe


def infer_resnet(tensors: Mapping[str, Tensor]) -> EncoderRecipe:
    """Reads depth, width and channels of the photos from tensors with torchvision's names.

    The depth is in the number of blocks, the width in the last stage, where rounding counts least.
    Stride and padding leave no trace in the shapes: they are the defaults.

    Raises:
        UnknownKeys: A deciding tensor is missing, or the stages are no ResNet's.
    """
    stem = _shape(tensors, "conv1.weight")
    inner = _shape(tensors, "layer4.0.conv1.weight")[0]
    if stem[2:] != (7, 7):
        size = " x ".join(map(str, stem[2:]))
        raise UnknownKeys(f"has a stem of {size} pixels, where our ResNets have 7 x 7")
    blocks = [0, 0, 0, 0]
    for name in tensors:
        if found := re.match(r"layer([1-4])\.(\d+)\.", name):
            stage = int(found[1]) - 1
            blocks[stage] = max(blocks[stage], int(found[2]) + 1)
    bottleneck = "layer1.0.conv3.weight" in tensors
    for depth, wanted in (BOTTLENECK if bottleneck else BASIC).items():
        if tuple(blocks) == wanted:
            return EncoderRecipe(
                name=f"resnet{depth}",
                width=inner / 512,
                in_channels=stem[1],
                project_first=not bottleneck and "layer1.0.downsample.0.weight" in tensors,
            )
    kind = "bottleneck" if bottleneck else "basic"
    raise UnknownKeys(
        f"has {', '.join(map(str, blocks))} {kind} blocks in its stages, which is no ResNet of 18, "
        f"34, 50, 101, 152 or 200 layers; check the file, or give encoder.name"
    )


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    if name not in tensors:
        raise UnknownKeys(f"lacks {name}, which shows the architecture; give encoder.name")
    shape = tuple(tensors[name].shape)
    if len(shape) != 4:
        raise UnknownKeys(f"has a {name} of shape {list(shape)}, which is no convolution")
    return shape
