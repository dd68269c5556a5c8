"""Exports a backbone for other frameworks."""

from pathlib import Path
from typing import Any

import torch

from detcon.config import load_recipe
from detcon.exporting.hub import pack_hub
from detcon.exporting.packing import pack_detectron2, pack_onnx, pack_state, timm_state
from detcon.exporting.recipe import FOLDERS, ExportError, ExportFormat, ExportRecipe, check_carried
from detcon.exporting.toolboxes import pack_openmmlab, pack_transformers
from detcon.files import holds_other, is_partial, write_whole
from detcon.models.backbone_file import Backbone, load_backbone, plain_state

SUFFIXES: dict[ExportFormat, tuple[str, ...]] = {
    **dict.fromkeys(("torchvision", "timm", "smp", "own"), (".pth", ".pt", ".safetensors")),
    **dict.fromkeys(("mmseg", "mmdet"), (".pth",)),
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
        The file, or the folder of transformers and hub.

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
    elif settings.to == "transformers":
        _write_folder(out, pack_transformers(backbone))
    else:
        files = _pack(backbone, settings.to, out)
        for path, content in files.items():
            _refuse_other(path, content)
        for path, content in files.items():
            write_whole(path, content)
    return out


def _pack(backbone: Backbone, to: ExportFormat, out: Path) -> dict[Path, bytes]:
    """The content of each file of a format that isn't a folder."""
    if to in ("mmseg", "mmdet"):
        return pack_openmmlab(backbone, to, out)
    if to == "onnx":
        return {out: pack_onnx(backbone)}
    if to == "detectron2":
        return {out: pack_detectron2(backbone)}
    state = timm_state(backbone) if to == "timm" else plain_state(backbone.encoder)
    return {out: pack_state(state, out.suffix.lower())}


def _check_name(out: Path, to: ExportFormat) -> None:
    """Checks the output path before any work."""
    if to in FOLDERS:
        if out.exists() and not out.is_dir():
            raise ExportError(f"cannot write to {out}: it is a file; {to} needs a folder")
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
