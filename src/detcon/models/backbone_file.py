"""Backbone files: the result of a pretraining, for others to use.

A safetensors file with torchvision's or timm's key names and plain tensors; the architecture and
the normalisation of the photos are in its metadata, so the file needs no recipe next to it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor, nn

import detcon
from detcon.files import write_whole
from detcon.models.encoders import OwnEncoder, TimmEncoder, build_encoder
from detcon.models.infer import infer_resnet
from detcon.models.key_styles import Translated, UnknownKeys, translate
from detcon.models.match import Match, match_tensors
from detcon.models.recipe import RESNETS, EncoderRecipe, Normalisation
from detcon.models.sources import ENTRY, FORMAT, BackboneError, Weights, open_weights
from detcon.models.timm_names import from_timm

PARTIAL = "partial=True in Python"
"""How to take what matches of a source; a command that can do so has a setting for it."""


@dataclass(frozen=True)
class Backbone:
    """An encoder with its architecture and the normalisation it expects.

    Attributes:
        encoder: The network; `encoder.num_channels` features a cell.
        recipe: Its architecture.
        normalisation: Mean and standard deviation for photos in [0, 1].
        name: Its source, for tables: a file's path, "random", ...
        notes: Notes of the file's maker.
        match: Which tensors of the source were used; None for random weights.
    """

    encoder: nn.Module
    recipe: EncoderRecipe
    normalisation: Normalisation
    name: str
    notes: dict[str, Any]
    match: Match | None = None

    @property
    def channels(self) -> int:
        """Number of features of a cell."""
        return int(self.encoder.num_channels)  # pyright: ignore[reportArgumentType]


def save_backbone(
    path: str | Path,
    encoder: nn.Module,
    recipe: EncoderRecipe,
    *,
    normalisation: Normalisation,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Writes a backbone file in one move; the parts are those of `backbone_bytes`."""
    write_whole(Path(path), backbone_bytes(encoder, recipe, normalisation, notes or {}))


def backbone_bytes(
    encoder: nn.Module,
    recipe: EncoderRecipe,
    normalisation: Normalisation,
    notes: Mapping[str, Any],
    *,
    names: Mapping[str, str] | None = None,
) -> bytes:
    """The content of a backbone file.

    Args:
        encoder: A network made by `build_encoder(recipe)`.
        recipe: Its architecture.
        normalisation: Mean and standard deviation for photos in [0, 1].
        notes: Anything that JSON holds: method, steps, data.
        names: From the network's names to others that `load_backbone` knows.
    """
    about = {
        "format": FORMAT,
        "encoder": recipe.model_dump(mode="json"),
        "normalisation": normalisation.model_dump(mode="json"),
        "notes": dict(notes),
        "version": detcon.__version__,
    }
    tensors = {(names or {}).get(name, name): t for name, t in plain_state(encoder).items()}
    return save(tensors, {ENTRY: json.dumps(about)})


def plain_state(encoder: nn.Module) -> dict[str, Tensor]:
    """The tensors of an encoder by the library's names, on the CPU."""
    state = _body(encoder).state_dict()
    tensors = {n: t for n, t in state.items() if isinstance(t, Tensor)}
    # copies, since safetensors refuses tensors that share memory, such as tied weights
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def load_backbone(
    source: str | Path,
    *,
    encoder: EncoderRecipe | None = None,
    stride: int | None = None,
    partial: bool = False,
    in_channels: int | None = None,
    bands: Literal["fresh", "mean"] = "fresh",
    drop_path: float | None = None,
) -> Backbone:
    """Opens a backbone: a file, published weights, or fresh weights.

    >>> import tempfile, torch
    >>> small = EncoderRecipe(name="resnet18", width=0.25)
    >>> backbone = load_backbone("random", encoder=small)
    >>> backbone.encoder(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 128, 2, 3])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = f"{folder}/backbone.safetensors"
    ...     save_backbone(file, backbone.encoder, small, normalisation=backbone.normalisation)
    ...     print(load_backbone(file, stride=16).recipe.stride)
    16

    Args:
        source: One of our files; a checkpoint of a ResNet by other names (`.pth`, `.pt`, `.torch`,
            `.safetensors`; see `key_styles`), or of the timm model that `encoder` names; heads,
            projectors and other networks in it are ignored. Or "torchvision:resnet50" and
            "timm:convnext_atto" for their own weights, from their cache or their server; "random"
            for fresh weights drawn from torch's generator.
        encoder: The architecture. Needed for random weights and for files of timm models; for
            files of ResNets it is read from the shapes otherwise, with stride 32 and even padding.
        stride: Builds a ResNet with this output stride instead; the weights are the same. A timm
            model keeps its own.
        partial: Takes what matches and leaves the rest of the network fresh, where an incomplete
            match would be an error. `Backbone.match` says what happened.
        in_channels: Of the photos, where they aren't those of the source: another first
            convolution is built, and the normalisation is `Normalisation.of(in_channels)`.
        bands: Whether that convolution is fresh, or has the mean of the source's filters for each
            channel, scaled so that grey photos give the same features.
        drop_path: Rate of stochastic depth of a timm model. None: that of `encoder`, or 0 without
            it; never that with which the source was trained.

    Returns:
        The backbone, on the CPU, in training mode.

    Raises:
        BackboneError: No such file, an architecture that is missing or doesn't fit, weights that
            aren't finite, or a file that is damaged or would need to run code.
        ValueError: There is no such stride, or the network has no drop path.
    """
    source = str(source)
    if drop_path is None:
        drop_path = 0.0 if encoder is None else encoder.drop_path
    if source == "random":
        if encoder is None:
            raise BackboneError(
                f"the backbone '{source}' doesn't say its architecture; give encoder.name=resnet50"
            )
        recipe = encoder.with_stride(stride).model_copy(update={"drop_path": drop_path})
        normalisation = Normalisation.of(recipe.in_channels)
        network = build_encoder(recipe, run_own=True)
        return Backbone(network, recipe, normalisation, source, {})
    weights = open_weights(source, encoder)
    try:
        network, recipe, translated = _build(weights, encoder, stride, in_channels, drop_path)
    except UnknownKeys as error:
        raise BackboneError(f"{source} {error}") from error
    match = _fill(network, translated, None if in_channels is None else bands)
    if not match.matched or not (match.is_full or partial):
        ways_out = "check encoder.name and encoder.width"
        if match.matched:
            ways_out += f", or take what matches: {PARTIAL}"
        raise BackboneError(
            f"{source} is no {recipe.name} of width {recipe.width:g}: it {match.faults()}; "
            f"{ways_out}"
        )
    check_finite(source, network)
    normalisation = weights.normalisation
    if normalisation is None or len(normalisation.mean) != recipe.in_channels:
        normalisation = Normalisation.of(recipe.in_channels)
    return Backbone(network, recipe, normalisation, source, weights.notes, match)


def check_finite(source: str | Path, network: nn.Module) -> None:
    """Refuses weights, or statistics of norms, that can't be right.

    Raises:
        BackboneError: NaN or infinity in a parameter, or a negative variance.
    """
    statistics = ((n, t) for n, t in network.named_buffers() if "running_" in n)
    bad = [
        name
        for name, tensor in (*network.named_parameters(), *statistics)
        if not tensor.isfinite().all() or (name.endswith("running_var") and (tensor < 0).any())
    ]
    if bad:
        raise BackboneError(
            f"{source} is damaged, or its training diverged: {len(bad)} of its tensors hold NaN, "
            f"infinity or a negative variance, first {bad[0]}; give an earlier checkpoint or "
            f"another file"
        )


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """Twelve hexadecimal digits that identify weights, independent of the file they came from."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]


def _build(
    weights: Weights,
    encoder: EncoderRecipe | None,
    stride: int | None,
    in_channels: int | None,
    drop_path: float,
) -> tuple[nn.Module, EncoderRecipe, Translated]:
    """The network that the tensors are for, and the tensors by its names."""
    recipe = weights.encoder or encoder
    changed: dict[str, Any] = {"drop_path": drop_path}
    changed |= {} if in_channels is None else {"in_channels": in_channels}
    if recipe is None or recipe.name in RESNETS:
        translated = translate(weights.tensors)
        recipe = (recipe or infer_resnet(translated.tensors)).with_stride(stride)
        recipe = recipe.model_copy(update=changed)
        return build_encoder(recipe), recipe, translated
    recipe = recipe.model_copy(update=changed)
    network = build_encoder(recipe, run_own=encoder is not None and encoder.name == recipe.name)
    if recipe.is_own:
        return network, recipe, Translated(dict(weights.tensors), recipe.name, "", ())
    names = _body(network).state_dict()
    return network, recipe, from_timm(weights.tensors, names, recipe.name)


def _fill(network: nn.Module, translated: Translated, bands: str | None) -> Match:
    """Copies every tensor whose name and shape fit, and reports which did.

    `bands` is "fresh" or "mean" where the first convolution may be of other channels.
    """
    body = _body(network)
    state, tensors = body.state_dict(), dict(translated.tensors)
    # a network of linear layers has none
    first = next((name for name, tensor in state.items() if tensor.ndim == 4), "")
    filters, fresh = tensors.get(first), ()
    if filters is not None and filters.shape[1] != (channels := state[first].shape[1]):
        fresh = (first,) if bands == "fresh" else ()
        if bands == "mean":  # the sum over channels stays: grey photos give the same features
            tensors[first] = (filters.sum(1, keepdim=True) / channels).expand(-1, channels, -1, -1)
    match = match_tensors(state, replace(translated, tensors=tensors), fresh)
    body.load_state_dict({name: tensors[name] for name in match.matched}, strict=False)
    return match


def _body(network: nn.Module) -> nn.Module:
    """The module whose key names are the library's own."""
    return network.body if isinstance(network, TimmEncoder | OwnEncoder) else network
