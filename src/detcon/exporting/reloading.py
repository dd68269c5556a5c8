"""Reads an exported file again, and counts the tensors that its library has a place for."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from safetensors.torch import load_file
from torch import nn

from detcon.exporting.recipe import ExportRecipe
from detcon.models.backbone_file import load_backbone
from detcon.models.recipe import EncoderRecipe


def loaded_share(settings: ExportRecipe) -> str:
    """`320 of 320 tensors fit transformers' ResNetBackbone`, for the terminal."""
    out = Path(settings.out)
    tensors = _read(out, settings.to)
    with torch.random.fork_rng(devices=[]):
        recipe = load_backbone(
            settings.backbone, encoder=settings.encoder, stride=settings.stride
        ).recipe
    if settings.to == "transformers" and find_spec("transformers") is None:
        return f"{len(tensors)} tensors; transformers isn't installed here, so they weren't checked"
    network, library = _network(settings, recipe)
    if network is None:
        return f"{len(tensors)} tensors" if tensors else ""
    wanted = network.state_dict()
    fits = [
        name for name in tensors if name in wanted and wanted[name].shape == tensors[name].shape
    ]
    left = [name for name in wanted if name not in tensors]
    fresh = f"; unfilled: {', '.join(left[:4])}" if left else ""
    return f"{len(fits)} of {len(tensors)} tensors fit {library}{fresh}"


def _read(out: Path, to: str) -> dict[str, Any]:
    if to in ("onnx", "detectron2"):
        return {}
    file = out / "model.safetensors" if out.is_dir() else out
    if file.suffix == ".safetensors":
        return load_file(file)
    state = torch.load(file, map_location="cpu", weights_only=True)
    return state["state_dict"] if to in ("mmseg", "mmdet") else state


def _network(settings: ExportRecipe, recipe: EncoderRecipe) -> tuple[nn.Module | None, str]:
    """The library's own network, or torchvision's where it has the same names."""
    to = settings.to
    with torch.device("meta"):
        if to == "transformers":
            import transformers

            config = transformers.AutoConfig.from_pretrained(settings.out)
            return transformers.AutoBackbone.from_config(config), "transformers' ResNetBackbone"
        if to == "timm":
            return timm.create_model(
                recipe.name, in_chans=recipe.in_channels
            ), f"timm's {recipe.name}"
        if to in ("torchvision", "smp", "mmseg", "mmdet"):
            network: Any = torchvision.models.get_model(recipe.name)
            if recipe.in_channels != 3:
                network.conv1 = nn.Conv2d(recipe.in_channels, 64, 7, 2, 3, bias=False)
            network.fc = nn.Identity()
            same = "" if to == "torchvision" else f", whose names {to} has"
            return network, f"torchvision's {recipe.name}{same}"
    return None, ""
