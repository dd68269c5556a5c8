"""A Hugging Face repository folder: weights, configuration, card."""

import json
from typing import Any

import jinja2

import detcon
from detcon.exporting.packing import public_notes, timm_state
from detcon.exporting.recipe import fits_timm
from detcon.models.backbone_file import Backbone, backbone_bytes, plain_state
from detcon.models.recipe import RESNETS


def pack_hub(backbone: Backbone, license: str | None) -> dict[str, bytes]:
    """The files of the folder, by name.

    `model.safetensors` is a backbone file of detcon, with timm's names where timm has the network.
    Then timm loads the folder too (`timm.create_model("local-dir:FOLDER")`, or "hf-hub:").
    """
    names = dict(zip(plain_state(backbone.encoder), timm_state(backbone), strict=True))
    weights = backbone_bytes(
        backbone.encoder,
        backbone.recipe,
        backbone.normalisation,
        public_notes(backbone.notes),
        names=names,
    )
    return {
        "model.safetensors": weights,
        "config.json": (json.dumps(_config(backbone), indent=1) + "\n").encode(),
        "README.md": _card(backbone, license).encode(),
    }


def _config(backbone: Backbone) -> dict[str, Any]:
    """The entries of config.json for detcon, and for timm where timm has the network."""
    recipe, normalisation = backbone.recipe, backbone.normalisation
    ours = {
        "library_name": "detcon",
        "detcon": {
            "encoder": recipe.model_dump(mode="json"),
            "normalisation": normalisation.model_dump(mode="json"),
            "notes": public_notes(backbone.notes),
            "version": detcon.__version__,
        },
    }
    if not _is_for_timm(backbone):
        return ours
    return ours | {
        "architecture": recipe.name,
        "num_classes": 0,
        "num_features": backbone.encoder.num_channels,
        "library_name": "timm",
        "pretrained_cfg": {
            "input_size": [recipe.in_channels, 224, 224],
            "mean": list(normalisation.mean),
            "std": list(normalisation.std),
            "interpolation": "bilinear",
            "num_classes": 0,
            "first_conv": "conv1",
            "classifier": "fc",
        },
        "model_args": {"in_chans": recipe.in_channels},
    }


def _is_for_timm(backbone: Backbone) -> bool:
    """Whether timm can load the folder. Its other models have layers after the features."""
    return backbone.recipe.name in RESNETS and fits_timm(backbone.recipe)


def _card(backbone: Backbone, license: str | None) -> str:
    """README.md, which the hub shows: `card.md.j2`, filled in."""
    means, deviations = backbone.normalisation.mean, backbone.normalisation.std
    notes = public_notes(backbone.notes)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("detcon.exporting", ""),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("card.md.j2").render(
        recipe=backbone.recipe,
        num_channels=backbone.encoder.num_channels,
        notes={name: json.dumps(value) for name, value in notes.items()},
        channels=", ".join(f"{m:g} ± {s:g}" for m, s in zip(means, deviations)),
        is_for_timm=_is_for_timm(backbone),
        license=license,
    )
