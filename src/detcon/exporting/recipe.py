"""What an export is told."""

from typing import Literal

from pydantic import Field

from detcon.config import Recipe
from detcon.models.recipe import EncoderRecipe

Format = Literal["torchvision", "timm", "detectron2", "onnx", "hub"]


class ExportError(ValueError):
    """A backbone that a format can't carry, or a place where something else is."""


class ExportRecipe(Recipe):
    """A backbone becomes a file of another framework, or a Hugging Face repository folder.

    torchvision and timm get a state dict with their names (.pth, .pt or .safetensors), detectron2
    its .pkl, onnx a graph from normalised photos to the grid of features (.onnx, any batch and
    size), hub a folder with model.safetensors, config.json and a card.
    """

    backbone: str = Field(description="file, torchvision:resnet50 or timm:convnext_atto")
    to: Format = Field(description="torchvision, timm, detectron2, onnx or hub")
    out: str = Field(description="file, a folder for hub; what is there already is left alone")
    encoder: EncoderRecipe | None = Field(
        default=None, description="for a backbone that doesn't say its architecture"
    )
    stride: Literal[8, 16, 32] | None = Field(
        default=None,
        description="exports the same weights as a ResNet of this output stride, as 32",
    )
    license: str | None = Field(
        default=None, description="of the weights, for hub's card, as apache-2.0; null: not stated"
    )
