"""Exports a backbone for other frameworks."""

from pathlib import Path
from typing import Any

import torch

from detcon.config import load_recipe
from detcon.exporting.hub import pack_hub
from detcon.exporting.packing import pack_detectron2, pack_onnx, pack_state, timm_state
from detcon.exporting.recipe import ExportError, ExportFormat, ExportRecipe, check_carried
from detcon.files import holds_other, is_partial, write_whole
from detcon.models.backbone_file import Backbone, load_backbone, plain_state

SUFFIXES: dict[ExportFormat, tuple[str, ...]] = {
    "torchvision": (".pth", ".pt", ".safetensors"),
    "timm": (".pth", ".pt", ".safetensors"),
    "detectron2": (".pkl",),
    "onnx": (".onnx",),
}


def export(recipe: str | Path | ExportRecipe | None = None, /, **overrides: Any) -> Path:
    """Writes a backbone in the format of another framework.

    Existing files at `out` are never replaced. Equal ones are fine, so that an interrupted export
    can be given again.

    Args:
        recipe: A recipe, its YAML file or name, or None for the defaults.
        **overrides: Settings by name:
            `export(backbone="b.safetensors", to="torchvision", out="b.pth")`.

    Returns:
        The file, or hub's folder.

    Raises:
        BackboneError: A backbone that can't be opened.
        ExportError: A setting of the encoder that the format loses, or an `out` that exists and
            holds something else.
    """
    settings = load_recipe(ExportRecipe, recipe, overrides)
    out = Path(settings.out)
    _check_name(out, settings.to)
    if settings.backbone == "random":
        raise ExportError("a random backbone has nothing to export; give a file")
    with torch.random.fork_rng(devices=[]):
        backbone = load_backbone(
            settings.backbone, encoder=settings.encoder, stride=settings.stride
        )
    check_carried(backbone.recipe, settings.to)
    if settings.to == "hub":
        _write_folder(out, pack_hub(backbone, settings.license))
    else:
        content = _pack(backbone, settings.to, out.suffix.lower())
        _refuse_other(out, content)
        write_whole(out, content)
    return out


def _pack(backbone: Backbone, to: ExportFormat, suffix: str) -> bytes:
    if to == "onnx":
        return pack_onnx(backbone)
    if to == "detectron2":
        return pack_detectron2(backbone)
    state = timm_state(backbone) if to == "timm" else plain_state(backbone.encoder)
    return pack_state(state, suffix)


def _check_name(out: Path, to: ExportFormat) -> None:
    """Checks the output path before any work."""
    if to == "hub":
        if out.exists() and not out.is_dir():
            raise ExportError(f"cannot write to {out}: it is a file; hub needs a folder")
        return
    if out.suffix.lower() not in SUFFIXES[to]:
        raise ExportError(
            f"cannot write {to} to {out}: give a name that ends in {' or '.join(SUFFIXES[to])}"
        )
    if out.is_dir():
        raise ExportError(f"cannot write to {out}: it is a folder; give the name of a file")


def _write_folder(out: Path, files: dict[str, bytes]) -> None:
    there = [path for path in out.iterdir() if not is_partial(path)] if out.is_dir() else []
    for path in there:
        if path.name not in files:
            raise ExportError(
                f"{out} holds {path.name}, which is not part of this export; give another out=, or "
                f"an empty folder"
            )
        _refuse_other(path, files[path.name])
    for name, content in files.items():
        write_whole(out / name, content)


def _refuse_other(path: Path, content: bytes) -> None:
    if holds_other(path, content):
        raise ExportError(
            f"{path} exists and holds something else; give another out=, or remove it"
        )
