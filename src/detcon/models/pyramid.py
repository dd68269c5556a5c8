"""Features at four scales for detectors: strides 4, 8, 16 and 32."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from detcon.models.encoders import TimmEncoder

STRIDES = [4, 8, 16, 32]


@runtime_checkable
class PyramidEncoder(Protocol):
    """An encoder that returns the grid of each stage.

    Attributes:
        pyramid_channels: Of each grid that `pyramid` gives.
        pyramid_strides: Pixels to a cell of each.
    """

    pyramid_channels: list[int]
    pyramid_strides: list[int]

    def pyramid(self, photos: Tensor) -> list[Tensor]: ...


def with_pyramid(encoder: nn.Module) -> nn.Module:
    """An encoder with the same weights, by the same names, that gives four grids.

    ResNets come back as they are; a timm model is built again with more outputs.

    Raises:
        ValueError: A model whose grids don't have the strides 4, 8, 16 and 32.
    """
    if isinstance(encoder, TimmEncoder):
        encoder = _widened(encoder)
    assert isinstance(encoder, PyramidEncoder)
    if list(encoder.pyramid_strides) != STRIDES:
        name = getattr(encoder, "name", type(encoder).__name__)
        raise ValueError(
            f"detection needs grids of 4, 8, 16 and 32 pixels a cell, but '{name}' here has "
            f"{', '.join(str(s) for s in encoder.pyramid_strides)}; give stride=32 for a ResNet, "
            f"or take a hierarchical model, as convnext_tiny"
        )
    return encoder


def _widened(encoder: TimmEncoder) -> nn.Module:
    info: Any = encoder.body.feature_info
    stage_of = {stage["reduction"]: number for number, stage in enumerate(info.info)}
    if not set(STRIDES) <= set(stage_of) or stage_of[STRIDES[-1]] != len(info.info) - 1:
        return encoder
    stages = tuple(stage_of[stride] for stride in STRIDES)
    wider = TimmEncoder(encoder.name, encoder.in_channels, stages)
    wider.load_state_dict(encoder.state_dict())
    return wider
