"""The backbone file: what a run leaves behind for others (waist 3 of the design).

A safetensors file with torchvision's or timm's key names and plain tensors; the architecture and
the normalisation of the photos stand in its metadata, so that a file is enough to go on.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

import detcon
from detcon.config import Recipe
from detcon.files import write_whole
from detcon.models.encoders import RESNETS, EncoderRecipe, TimmEncoder, build_encoder

FORMAT = "detcon-backbone-1"
ENTRY = "detcon"  # of the metadata; one alone, since their order in a file isn't fixed


class BackboneError(ValueError):
    """A file that is no backbone, or not the one that was asked for."""


class Normalisation(Recipe):
    """Mean and standard deviation of the channels of photos in [0, 1]."""

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    @classmethod
    def of(cls, channels: int) -> "Normalisation":
        """ImageNet's for RGB; other channels are brought from [0, 1] to [-2, 2]."""
        if channels == 3:
            return cls()
        return cls(mean=(0.5,) * channels, std=(0.25,) * channels)


@dataclass(frozen=True)
class Backbone:
    """An encoder, how it was built and what it expects.

    Attributes:
        encoder: The network; `encoder.num_channels` features a cell.
        recipe: Its architecture.
        normalisation: What photos in [0, 1] are normalised by.
        name: Where it came from, for tables: a file's path, "random", ...
        notes: What the maker of the file wrote into it.
    """

    encoder: nn.Module
    recipe: EncoderRecipe
    normalisation: Normalisation
    name: str
    notes: dict[str, Any]


def save_backbone(
    path: str | Path,
    encoder: nn.Module,
    recipe: EncoderRecipe,
    *,
    normalisation: Normalisation,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Writes the encoder, in one move, so that a reader never sees half a file.

    Args:
        path: The file, `backbone.safetensors` in a run folder.
        encoder: A network made by `build_encoder(recipe)`.
        recipe: Its architecture.
        normalisation: What photos in [0, 1] were normalised by.
        notes: Anything that JSON holds: method, steps, data.
    """
    state = _body(encoder).state_dict()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    about = {
        "format": FORMAT,
        "encoder": recipe.model_dump(mode="json"),
        "normalisation": normalisation.model_dump(mode="json"),
        "notes": dict(notes or {}),
        "version": detcon.__version__,
    }
    write_whole(Path(path), save(tensors, {ENTRY: json.dumps(about)}))


def load_backbone(
    source: str | Path, *, encoder: EncoderRecipe | None = None, stride: int | None = None
) -> Backbone:
    """Opens a backbone from wherever a user has one.

    Args:
        source: One of our files; a state dict with torchvision's names (`.pth`, `.pt` or
            `.safetensors`; a classifier in it is left aside); "torchvision:resnet50" for
            torchvision's own weights, from its cache or its server; "random" for fresh weights
            drawn from torch's generator.
        encoder: The architecture, where the source doesn't carry it.
        stride: Builds a ResNet with this output stride instead; the weights are the same. A timm
            model keeps its own.

    Returns:
        The backbone, on the CPU, in training mode.

    Raises:
        BackboneError: No such file, an architecture that is missing or doesn't fit, or a file that
            is damaged or would need to run code.
    """
    source = str(source)
    if source == "random":
        recipe = _known(encoder, source)
        tensors, normalisation, notes = None, Normalisation.of(recipe.in_channels), {}
    elif source.startswith("torchvision:"):
        recipe = encoder or EncoderRecipe(name=source.removeprefix("torchvision:"))
        tensors, normalisation, notes = _from_torchvision(recipe.name), Normalisation(), {}
    else:
        tensors, recipe, normalisation, notes = _from_file(Path(source), encoder)
    if stride is not None and recipe.name in RESNETS:
        recipe = recipe.model_copy(update={"stride": stride})
    network = build_encoder(recipe)
    if tensors is not None:
        _fill(network, tensors, source, recipe)
    return Backbone(network, recipe, normalisation, source, notes)


def _from_file(
    path: Path, encoder: EncoderRecipe | None
) -> tuple[dict[str, Tensor], EncoderRecipe, Normalisation, dict[str, Any]]:
    if not path.is_file():
        raise BackboneError(
            f"there is no backbone {path}; give a file, 'random' or 'torchvision:resnet50'"
        )
    if path.suffix != ".safetensors":
        return _state_dict(path), _known(encoder, str(path)), Normalisation(), {}
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        tensors = load_file(path)
    except SafetensorError as error:
        raise BackboneError(f"{path} is damaged or no safetensors file ({error})") from error
    if ENTRY not in metadata:
        return tensors, _known(encoder, str(path)), Normalisation(), {}
    try:
        about = json.loads(metadata[ENTRY])
        recipe = EncoderRecipe.model_validate(about["encoder"])
        normalisation = Normalisation.model_validate(about["normalisation"])
    except (json.JSONDecodeError, ValidationError, KeyError, TypeError) as error:
        raise BackboneError(
            f"{path} doesn't describe its architecture as {FORMAT} does; it was damaged, or "
            f"written by a later version of detcon"
        ) from error
    return tensors, recipe, normalisation, about.get("notes", {})


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds; all mean the same to a user
        raise BackboneError(
            f"{path} holds no plain tensors (damaged, or it needs code to be run): "
            f"{' '.join(str(error).split())[:120] or type(error).__name__}"
        ) from error
    for name in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(name), dict):
            loaded = loaded[name]
    if not isinstance(loaded, dict) or not all(isinstance(t, Tensor) for t in loaded.values()):
        raise BackboneError(f"{path} holds no state dict: names and tensors")
    return loaded


def _from_torchvision(name: str) -> dict[str, Tensor]:
    try:
        return torchvision.models.get_model(name, weights="DEFAULT").state_dict()
    except ValueError as error:
        raise BackboneError(f"torchvision has no weights for '{name}'") from error


def _known(encoder: EncoderRecipe | None, source: str) -> EncoderRecipe:
    if encoder is None:
        raise BackboneError(
            f"the backbone '{source}' doesn't say its architecture; give encoder.name=resnet50"
        )
    return encoder


def _fill(
    network: nn.Module, tensors: Mapping[str, Tensor], source: str, recipe: EncoderRecipe
) -> None:
    body = _body(network)
    mine = body.state_dict()
    given = {n: t for n, t in tensors.items() if not n.startswith(("fc.", "head.", "classifier."))}
    counters = {n for n in mine if n.endswith("num_batches_tracked")}
    missing = sorted(set(mine) - set(given) - counters)
    left = sorted(set(given) - set(mine))
    wrong = [n for n in given if n in mine and given[n].shape != mine[n].shape]
    for names, what in ((missing, "lacks"), (left, "has besides"), (wrong, "has other shapes of")):
        if names:
            raise BackboneError(
                f"{source} is no {recipe.name} of width {recipe.width:g}: it {what} {len(names)} "
                f"of its tensors, first {names[0]}; check encoder.name and encoder.width"
            )
    body.load_state_dict(given, strict=False)


def _body(network: nn.Module) -> nn.Module:
    """The module whose key names are the library's own."""
    return network.body if isinstance(network, TimmEncoder) else network
