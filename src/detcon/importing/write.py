"""Turns DeepMind's released weights into a backbone file."""

import hashlib
from pathlib import Path
from typing import Any

import torch

from detcon.config import load_recipe
from detcon.files import holds_other, write_whole
from detcon.importing.haiku import UnknownNetwork, read_encoder
from detcon.importing.npy import GIVE, read_arrays
from detcon.importing.recipe import ImportRecipe
from detcon.models.backbone_file import backbone_bytes, load_backbone
from detcon.models.encoders import build_encoder
from detcon.models.sources import BackboneError


def import_weights(recipe: str | Path | ImportRecipe | None = None, /, **overrides: Any) -> Path:
    """Turns DeepMind's released weights into a backbone file, for `load_backbone` and `transfer`.

    An existing file at `out` is not replaced, unless it holds the same bytes.

    Args:
        recipe: A recipe, its YAML file or name, or None for the defaults.
        **overrides: Settings by name:
            `import_weights(weights="resnet50_detcon_b_imagenet_1k.npy", out="b.safetensors")`.

    Returns:
        The backbone file. Its notes list what was read, and what was left out.

    Raises:
        BackboneError: A file that is damaged, holds another network or asks to run code, or an
            `out` that exists and holds something else.
    """
    settings = load_recipe(ImportRecipe, recipe, overrides)
    weights, out = Path(settings.weights), Path(settings.out)
    if out.suffix != ".safetensors":
        raise BackboneError(f"cannot write a backbone to {out}: give a name in .safetensors")
    arrays = read_arrays(weights)
    try:
        found = read_encoder(arrays, same_padding=settings.same_padding)
    except UnknownNetwork as error:
        raise BackboneError(f"{weights} {error}; {GIVE}") from error
    channels, means = found.recipe.in_channels, len(settings.normalisation.mean)
    if channels != means:
        raise BackboneError(
            f"{weights} is for photos of {channels} channels, but normalisation has {means} means; "
            f"give normalisation.mean and normalisation.std with one value a channel"
        )
    with torch.device("meta"):
        network = build_encoder(found.recipe)
    network.load_state_dict(found.tensors, assign=True)
    notes = {
        "imported": weights.name,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "network": found.network,
        "tensors": len(found.tensors),
        "statistics": f"average of {found.norms}/~/mean_ema and var_ema",
        "left": found.left,
    }
    content = backbone_bytes(network, found.recipe, settings.normalisation, notes)
    if holds_other(out, content):
        raise BackboneError(
            f"{out} exists and holds something else; give another out=, or remove it"
        )
    write_whole(out, content)
    return out


def imported_table(settings: ImportRecipe) -> str:
    """A summary for the terminal: what was read and what was left out."""
    backbone = load_backbone(settings.out)
    notes, recipe = backbone.notes, backbone.recipe
    left = ", ".join(f"{name} ({number})" for name, number in notes["left"].items())
    return (
        f"read {notes['tensors']} tensors of {notes['network']} ({recipe.name}, width "
        f"{recipe.width:g}), statistics of norms from {notes['statistics']}\nleft {left}"
    )
