"""Where weights come from: our files, files of others, torchvision's and timm's own weights.

No file is trusted: PyTorch's are read with `weights_only=True`, the others as safetensors, so that
none runs code.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from detcon.files import copy_again
from detcon.models.encoders import timm_features
from detcon.models.key_styles import flatten
from detcon.models.recipe import RESNETS, EncoderRecipe, Normalisation, near_encoders

FORMAT = "detcon-backbone-1"
ENTRY = "detcon"  # of the metadata; one alone, since their order in a file isn't fixed
MODEL_ENTRY = "detcon_model"  # of the files of transfer's models
_BACKBONE = "backbone.safetensors"
_RUN = ("recipe.yaml", "checkpoints")
"""What a run has before its backbone."""
_CHECKPOINT = {"module", "fingerprint", "num_losses"}  # among what a checkpoint of a run holds


class BackboneError(ValueError):
    """The file is not a backbone, or not the one that was asked for."""


@dataclass(frozen=True)
class Weights:
    """Tensors by the names of their source, and what else the source knows."""

    tensors: Mapping[str, Tensor]
    encoder: EncoderRecipe | None = None
    normalisation: Normalisation | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def open_weights(source: str, encoder: EncoderRecipe | None) -> Weights:
    """Reads the tensors of a file, of "torchvision:NAME" or of "timm:NAME".

    Raises:
        BackboneError: There is no such source, or it is damaged, or would need to run code.
    """
    library, _, name = source.partition(":")
    if name and library == "torchvision":
        return _from_torchvision(name, encoder)
    if name and library == "timm":
        return _from_timm(name, encoder)
    path = Path(source)
    if not path.is_file():
        raise BackboneError(_no_file(path))
    if path.suffix == ".safetensors":
        return _from_safetensors(path)
    if path.suffix == ".npy":
        raise BackboneError(
            f"{path} holds arrays, as DeepMind released DetCon's weights; make it a backbone with "
            f"'detcon import {path} out={path.stem}.safetensors', and give that"
        )
    return Weights(_read_torch(path))


def is_at_hand(source: str) -> bool:
    """Whether weights can be read without a server: a file, or a library's in its cache."""
    library, _, name = source.partition(":")
    if name and library == "torchvision":
        import torchvision

        try:
            weights: Any = torchvision.models.get_model_weights(name)
        except ValueError:
            return False
        file = weights.DEFAULT.url.rpartition("/")[2]
        return Path(torch.hub.get_dir(), "checkpoints", file).is_file()
    if name and library == "timm":
        import timm
        from huggingface_hub import try_to_load_from_cache

        config = timm.get_pretrained_cfg(name)
        places = ("model.safetensors", "pytorch_model.bin")
        hub = config and config.hf_hub_id
        return bool(hub) and any(isinstance(try_to_load_from_cache(hub, p), str) for p in places)
    return Path(source).is_file()


def _no_file(path: Path) -> str:
    """What to do where a path is no file: of a run, its backbone or its command again."""
    own = path / _BACKBONE if path.is_dir() else path
    what = f"{path} is a folder" if path.is_dir() else f"there is no backbone {path}"
    if own.is_file():
        return f"{what}; give its file, {own}"
    if own.name == _BACKBONE and all((own.parent / name).exists() for name in _RUN):
        return f"{own.parent} isn't finished (no backbone yet): give its command again"
    return (
        f"{what}; give a file, as RUN/{_BACKBONE}, 'torchvision:resnet50', "
        f"'timm:convnext_atto', or 'random' for fresh weights to compare with"
    )


def _from_torchvision(name: str, encoder: EncoderRecipe | None) -> Weights:
    if name not in RESNETS:
        raise BackboneError(
            f"'torchvision:{name}' is no ResNet of {', '.join(RESNETS)}; other networks come from "
            f"timm, as timm:convnext_atto"
        )
    import torchvision  # two seconds, and timm as long, which a file doesn't need

    try:
        weights: Any = torchvision.models.get_model_weights(name)
    except ValueError as error:
        raise BackboneError(f"torchvision has no weights for '{name}'") from error
    try:
        tensors = weights.DEFAULT.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        file = weights.DEFAULT.url.rpartition("/")[2]
        raise BackboneError(
            f"cannot fetch torchvision's weights for '{name}' ({_short(error)}); put {file} into "
            f"{Path(torch.hub.get_dir()) / 'checkpoints'}, or give that file instead"
        ) from error
    return Weights(tensors, encoder or EncoderRecipe(name=name))


def _from_timm(name: str, encoder: EncoderRecipe | None) -> Weights:
    """timm's own weights, from its cache or the hub; the tag may be given: resnet50.a1_in1k."""
    import timm

    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        raise BackboneError(f"timm has no model '{name}'{near_encoders(architecture)}")
    recipe = encoder or EncoderRecipe(name=architecture)
    try:
        if architecture in RESNETS:
            model = timm.create_model(name, pretrained=True, in_chans=recipe.in_channels)
        else:
            model = timm_features(name, recipe.in_channels, pretrained=True)
    except Exception as error:  # timm and its hub raise many kinds; all mean the same to a user
        raise BackboneError(
            f"cannot fetch timm's weights for '{name}' ({_short(error)}); give their file "
            f"instead, with encoder.name={architecture}"
        ) from error
    config: Any = model.pretrained_cfg
    normalisation = Normalisation(mean=tuple(config["mean"]), std=tuple(config["std"]))
    if recipe.in_channels != 3:
        normalisation = Normalisation.of(recipe.in_channels)
    return Weights(model.state_dict(), recipe, normalisation)


def _from_safetensors(path: Path) -> Weights:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        tensors = load_file(path)
    except SafetensorError as error:
        raise BackboneError(
            f"{path} is damaged or no safetensors file ({error}); {copy_again(path)}"
        ) from error
    if MODEL_ENTRY in metadata:
        raise BackboneError(
            f"{path} is a whole model of detcon transfer; give its backbone, "
            f"{path.with_name(_BACKBONE)}"
        )
    if ENTRY not in metadata:
        return Weights(tensors)
    try:
        about = json.loads(metadata[ENTRY])
        recipe = EncoderRecipe.model_validate(about["encoder"])
        normalisation = Normalisation.model_validate(about["normalisation"])
    except (json.JSONDecodeError, ValidationError, KeyError, TypeError) as error:
        raise BackboneError(
            f"{path} doesn't describe its architecture as {FORMAT} does; it was damaged, or "
            f"written by a later version of detcon"
        ) from error
    return Weights(tensors, recipe, normalisation, about.get("notes", {}))


def _read_torch(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint, at any depth of its mappings.

    DINO and others save their `argparse.Namespace` next to the weights; it only holds values, so
    it is allowed.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, in paragraphs; all mean the same here
        raise BackboneError(
            f"{path} is no checkpoint of plain tensors: it is damaged, another kind of file, or "
            f"needs code to be run; {copy_again(path)}, or save its state dict alone"
        ) from error
    if isinstance(loaded, dict) and loaded.keys() >= _CHECKPOINT:
        raise BackboneError(
            f"{path} is a checkpoint of a run, without the backbone's architecture and "
            f"normalisation; give the run's backbone.safetensors, which it has at its end"
        )
    tensors = flatten(loaded)
    if not tensors:
        raise BackboneError(f"{path} holds no state dict: names and tensors")
    return tensors


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120].rstrip(" .") or type(error).__name__
