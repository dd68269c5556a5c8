"""A Hugging Face repository folder: weights, configuration, card."""

import json
from typing import Any

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
    recipe, normalisation = backbone.recipe, backbone.normalisation
    library = "timm" if _is_for_timm(backbone) else "detcon"
    front = [
        f"library_name: {library}",
        *([f"license: {license}"] if license else []),
        "pipeline_tag: image-feature-extraction",
        "tags: [detcon, self-supervised, backbone]",
    ]
    channels = ", ".join(f"{m:g} ± {s:g}" for m, s in zip(normalisation.mean, normalisation.std))
    architecture = ", ".join(f"{k} {v}" for k, v in recipe.model_dump(mode="json").items())
    sections = {
        f"{recipe.name}, a backbone from detcon": (
            f"Turns photos [b {recipe.in_channels} y x] into features "
            f"[b {backbone.encoder.num_channels} h w], for detection, segmentation and depth."
        ),
        "How it was pretrained": _history(public_notes(backbone.notes)),
        "Architecture": architecture,
        "Normalisation": (
            f"Photos in [0, 1], channel by channel mean ± standard deviation: {channels}."
        ),
        "Usage": _usage(backbone),
        "Licence": _licence(license),
    }
    body = "\n\n".join(
        f"{'#' if number == 0 else '##'} {title}\n\n{text}"
        for number, (title, text) in enumerate(sections.items())
    )
    return "\n".join(["---", *front, "---", "", body, ""])


def _history(notes: dict[str, Any]) -> str:
    if not notes:
        return "The backbone file has no notes about it; add them here."
    lines = [f"- {name}: {json.dumps(value)}" for name, value in notes.items()]
    return "\n".join([*lines, "", "Add on which photos, and where they come from."])


def _usage(backbone: Backbone) -> str:
    code = (
        "from detcon import load_backbone\n\n"
        'backbone = load_backbone("model.safetensors")\n'
        "features = backbone.encoder.eval()(photos)  # normalised as above"
    )
    if _is_for_timm(backbone):
        code += (
            "\n\n# or, without detcon\nimport timm\n\n"
            'encoder = timm.create_model("hf-hub:OWNER/NAME", pretrained=True).eval()\n'
            "features = encoder.forward_features(photos)"
        )
    return f"```python\n{code}\n```"


def _licence(license: str | None) -> str:
    if license:
        return (
            f"The weights: {license}. The publisher must check that the licence of the photos "
            f"allows it."
        )
    return (
        "Not stated. detcon's code is Apache-2.0, but these weights also depend on the photos they "
        "were trained on."
    )
