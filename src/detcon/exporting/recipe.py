"""Settings of an export."""

from typing import Literal

from pydantic import Field

from detcon.config import Recipe
from detcon.models.recipe import EncoderRecipe

ExportFormat = Literal["torchvision", "timm", "detectron2", "onnx", "hub"]


class ExportError(ValueError):
    """A backbone that a format can't hold, or an output path that is taken."""


class ExportRecipe(Recipe):
    """A backbone becomes a file of another framework, or a Hugging Face repository folder.

    torchvision and timm get a state dict with their names (.pth, .pt or .safetensors), detectron2
    its .pkl, onnx a graph from normalised photos to the grid of features (.onnx, any batch and
    size), hub a folder with model.safetensors, config.json and a card.
    """

    backbone: str = Field(description="file, torchvision:resnet50 or timm:convnext_atto")
    to: ExportFormat = Field(description="torchvision, timm, detectron2, onnx or hub")
    out: str = Field(description="the file, or the folder for hub; existing files are not replaced")
    encoder: EncoderRecipe | None = Field(
        default=None, description="the architecture, for files that don't record it"
    )
    stride: Literal[8, 16, 32] | None = Field(
        default=None,
        description="output stride of the exported ResNet, with the same weights",
    )
    license: str | None = Field(
        default=None,
        description="licence of the weights for hub's card, as apache-2.0; null: not stated",
    )
