"""Settings of an export, and which networks each format supports."""

from typing import Literal

from pydantic import Field

from detcon.config import Recipe
from detcon.models.recipe import RESNETS, EncoderRecipe

ExportFormat = Literal["torchvision", "timm", "detectron2", "onnx", "hub"]


class ExportError(ValueError):
    """A backbone that a format doesn't support, or an output path that exists."""


class ExportRecipe(Recipe):
    """Writes a backbone as a file of another framework, or as a Hugging Face repository folder.

    torchvision and timm get a state dict with their names (.pth, .pt or .safetensors), detectron2
    its .pkl, onnx a graph from normalised photos to the grid of features (.onnx, any batch and
    size), hub a folder with model.safetensors, config.json and a card.
    """

    backbone: str = Field(description="a backbone file, torchvision:resnet50 or timm:convnext_atto")
    to: ExportFormat = Field(
        description="the framework: torchvision, timm, detectron2, onnx or hub (Hugging Face)"
    )
    out: str = Field(description="the file, or the folder for hub; existing files are not replaced")
    encoder: EncoderRecipe | None = Field(
        default=None, description="the architecture, for backbone files that don't record it"
    )
    stride: Literal[8, 16, 32] | None = Field(
        default=None,
        description="output stride of the exported ResNet (same weights); null: unchanged",
    )
    license: str | None = Field(
        default=None,
        description="licence of the weights for hub's card, such as apache-2.0; null: not stated",
    )


def check_carried(recipe: EncoderRecipe, to: ExportFormat) -> None:
    """Refuses architectures that a format doesn't support.

    A state dict holds names and tensors only, so that dilation or padding would be lost silently.

    Raises:
        ExportError: Names the first setting that the format loses.
    """
    if to in ("onnx", "hub"):
        return
    if recipe.name not in RESNETS:
        if to != "timm":
            raise ExportError(f"{to} has no encoder.name={recipe.name}; give to=timm, onnx or hub")
        return
    for setting, is_lost, instead in _losses(recipe, to):
        if is_lost:
            value = getattr(recipe, setting)
            shown = str(value).lower() if isinstance(value, bool) else value
            raise ExportError(f"{to} can't carry encoder.{setting}={shown}; {instead}")


def fits_timm(recipe: EncoderRecipe) -> bool:
    """Whether timm has exactly this network."""
    try:
        check_carried(recipe, "timm")
    except ExportError:
        return False
    return True


def _losses(recipe: EncoderRecipe, to: ExportFormat) -> tuple[tuple[str, bool, str], ...]:
    whole = "to=onnx and to=hub can"
    return (
        ("name", recipe.name == "resnet200" and to != "timm", "to=timm, onnx and hub can"),
        ("width", recipe.width != 1, whole),
        ("same_padding", recipe.same_padding, whole),
        ("project_first", recipe.project_first, whole),
        ("stride", recipe.stride != 32, f"give stride=32 for the same weights; {whole}"),
        ("in_channels", recipe.in_channels != 3 and to == "torchvision", "the other formats can"),
    )
