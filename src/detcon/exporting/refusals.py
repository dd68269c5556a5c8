"""Checks that a format can hold a network, before anything is written."""

from detcon.exporting.recipe import ExportError, ExportFormat
from detcon.models.recipe import RESNETS, EncoderRecipe


def check_carried(recipe: EncoderRecipe, to: ExportFormat) -> None:
    """Refuses architectures that a format can't hold.

    A state dict holds names and tensors: what leaves no trace in them (dilation, padding) would be
    lost unseen.

    Raises:
        ExportError: Names the first setting that the format can't carry.
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
