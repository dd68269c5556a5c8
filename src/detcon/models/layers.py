"""The depth at which each parameter of an encoder lies, for learning rates that grow with it."""

import re

from torch import nn

_STAGE = re.compile(r"(?:^|\.)(?:layers?|stages?|blocks|s)[._]?(\d+)[._]")  # the outermost one


def layer_numbers(encoder: nn.Module) -> dict[str, int]:
    """The layer of each parameter: 0 for the stem, then from 1 for each block or stage.

    A layer is a block of a plain transformer, a stage of any other network. What has no number,
    such as a norm between them, belongs to the layer before it.

    >>> from detcon.models.encoders import build_encoder
    >>> from detcon.models.recipe import EncoderRecipe
    >>> numbers = layer_numbers(build_encoder(EncoderRecipe(name="resnet18", width=0.25)))
    >>> numbers["conv1.weight"], numbers["layer1.0.conv1.weight"], numbers["layer4.1.bn2.bias"]
    (0, 1, 4)
    """
    found = {name: _STAGE.search(name) for name, _ in encoder.named_parameters()}
    stages = {name: int(stage[1]) for name, stage in found.items() if stage}
    order = {number: place for place, number in enumerate(sorted(set(stages.values())), 1)}
    layers, reached = {}, 0
    for name in found:  # in the order of the network
        reached = order[stages[name]] if name in stages else reached
        layers[name] = reached
    return layers
