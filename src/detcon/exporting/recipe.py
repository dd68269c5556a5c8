"""Settings of an export, and which networks each format supports."""

from typing import Literal

from pydantic import Field

from detcon.config import Recipe
from detcon.models.recipe import BOTTLENECK, RESNETS, EncoderRecipe

ExportFormat = Literal[
    "torchvision",
    "timm",
    "transformers",
    "smp",
    "mmseg",
    "mmdet",
    "detectron2",
    "onnx",
    "hub",
    "own",
]
FOLDERS = ("transformers", "hub")
OF_ANY_NETWORK = ("onnx", "hub", "own")


class ExportError(ValueError):
    """A backbone that a format doesn't support, or an output path that exists."""


class ExportRecipe(Recipe):
    """Writes a backbone as a file of another framework, or as a folder for the Hugging Face hub.

    A state dict (.pth, .pt or .safetensors) with the names of torchvision, timm, smp
    (segmentation_models_pytorch), or with the network's own; detectron2's .pkl; for mmseg and mmdet
    a .pth and a .py with the configuration; onnx: a graph from normalised photos to the grid of
    features (any batch and size); transformers and hub: a folder.
    """

    backbone: str = Field(description="a backbone file, torchvision:resnet50 or timm:convnext_atto")
    to: ExportFormat = Field(description="the framework; own: the network's own names")
    out: str = Field(
        description="the file; for transformers and hub the folder; existing files are not replaced"
    )
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
    if recipe.is_own and to not in ("own", "onnx"):
        raise ExportError(f"to={to} can't store encoder.name={recipe.name}; give to=own or onnx")
    if to in OF_ANY_NETWORK:
        return
    if recipe.name not in RESNETS:
        if to != "timm":
            raise ExportError(
                f"to={to} can't store encoder.name={recipe.name}; give to=timm, onnx, hub or own"
            )
        return
    for setting, is_lost, instead in _losses(recipe, to):
        if is_lost:
            value = getattr(recipe, setting)
            shown = str(value).lower() if isinstance(value, bool) else value
            raise ExportError(f"to={to} can't store encoder.{setting}={shown}; {instead}")


def fits_timm(recipe: EncoderRecipe) -> bool:
    """Whether timm has exactly this network."""
    try:
        check_carried(recipe, "timm")
    except ExportError:
        return False
    return True


def _losses(recipe: EncoderRecipe, to: ExportFormat) -> tuple[tuple[str, bool, str], ...]:
    whole = "to=onnx, hub and own can"
    has_200 = to in ("timm", "transformers")
    dilates = to == "mmseg" and RESNETS[recipe.name] in BOTTLENECK
    return (
        ("name", recipe.name == "resnet200" and not has_200, f"to=timm can, and {whole}"),
        ("width", recipe.width != 1 and to != "transformers", f"to=transformers can, and {whole}"),
        ("same_padding", recipe.same_padding, whole),
        ("project_first", recipe.project_first, whole),
        (
            "stride",
            recipe.stride != 32 and not dilates,
            f"give stride=32 for the same weights; {whole}",
        ),
        ("in_channels", recipe.in_channels != 3 and to == "torchvision", "the other formats can"),
    )
