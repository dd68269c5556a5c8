"""Reads an exported file again: which tensors fit the library, and the call that opens it."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from safetensors.torch import load_file
from torch import nn

from detcon.exporting.recipe import ExportRecipe
from detcon.models.backbone_file import Backbone, load_backbone
from detcon.models.recipe import EncoderRecipe

_CALLS = {
    "torchvision": "net = torchvision.models.{name}(); net.load_state_dict({state}, strict=False)",
    # timm's own parts after the last grid, such as a last norm, aren't ours: they stay out of it
    "timm": "net = timm.create_model('{name}', num_classes=0); "
    "net.load_state_dict({state}, strict=False); "
    "net.eval().forward_intermediates(PHOTOS, norm=False, intermediates_only=True)[-1]",
    "detectron2": "in its configuration MODEL.WEIGHTS: {out}, INPUT.FORMAT: RGB, "
    "MODEL.RESNETS.STRIDE_IN_1X1: false, PIXEL_MEAN and PIXEL_STD of 255 times the normalisation",
    "transformers": "transformers.ResNetBackbone.from_pretrained('{out}')",
    "smp": "smp.Unet('{name}', encoder_weights=None).encoder.load_state_dict({state})",
    "mmseg": "merge the .py next to {out} into your configuration",
    "mmdet": "merge the .py next to {out} into your configuration",
    "own": "YOUR_NETWORK.load_state_dict({state})",
    "onnx": "onnxruntime.InferenceSession('{out}').run(None, {{'photos': PHOTOS}})",
    "hub": "complete {out}/README.md, then hf upload OWNER/NAME {out}",
}


def how_to_open(settings: ExportRecipe) -> str:
    """The call that opens the file in its library, for this very network."""
    is_safe = settings.out.endswith(".safetensors")
    load = "safetensors.torch.load_file" if is_safe else "torch.load"
    state, name = f"{load}({settings.out!r})", _backbone(settings).recipe.name
    return _CALLS[settings.to].format(out=settings.out, name=name, state=state)


def summary(settings: ExportRecipe) -> str:
    """How much the library takes, and what it has to be told of photos, for the terminal."""
    normalisation = _backbone(settings).normalisation
    mean, std = (
        ", ".join(f"{one:g}" for one in of) for of in (normalisation.mean, normalisation.std)
    )
    photos = f"photos are normalised by mean {mean} and std {std}, in values from 0 to 1"
    return "\n".join(filter(None, (loaded_share(settings), photos)))


def loaded_share(settings: ExportRecipe) -> str:
    """`320 of 320 tensors fit transformers' ResNetBackbone`."""
    out = Path(settings.out)
    tensors = _read(out, settings.to)
    if settings.to == "transformers" and find_spec("transformers") is None:
        return f"{len(tensors)} tensors; transformers isn't installed here, so they weren't checked"
    network, library = _network(settings, _backbone(settings).recipe)
    if network is None:
        return f"{len(tensors)} tensors" if tensors else ""
    wanted = network.state_dict()
    fits = [
        name for name in tensors if name in wanted and wanted[name].shape == tensors[name].shape
    ]
    left = [name for name in wanted if name not in tensors]
    more = f" and {len(left) - 4} more" if len(left) > 4 else ""
    fresh = f"; not in the file, so fresh there: {', '.join(left[:4])}{more}" if left else ""
    return f"{len(fits)} of {len(tensors)} tensors fit {library}{fresh}"


def _backbone(settings: ExportRecipe) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        return load_backbone(settings.backbone, encoder=settings.encoder, stride=settings.stride)


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
            transformers: Any = import_module("transformers")  # pyright would read 4,000 files
            config = transformers.AutoConfig.from_pretrained(settings.out)
            return transformers.AutoBackbone.from_config(config), "transformers' ResNetBackbone"
        if to == "timm":
            return timm.create_model(
                recipe.name, in_chans=recipe.in_channels, num_classes=0
            ), f"timm's {recipe.name}"
        if to in ("torchvision", "smp", "mmseg", "mmdet"):
            network: Any = torchvision.models.get_model(recipe.name)
            if recipe.in_channels != 3:
                network.conv1 = nn.Conv2d(recipe.in_channels, 64, 7, 2, 3, bias=False)
            network.fc = nn.Identity()
            same = "" if to == "torchvision" else f", whose names {to} has"
            return network, f"torchvision's {recipe.name}{same}"
    return None, ""
