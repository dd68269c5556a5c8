"""Files of other frameworks, as bytes: state dicts and ONNX."""

import io
import json
import pickle
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from detcon.exporting.recipe import ExportError
from detcon.models.backbone_file import Backbone, plain_state
from detcon.models.key_styles import to_detectron2
from detcon.models.recipe import RESNETS
from detcon.models.timm_names import to_timm

SIDES = (96, 128)
"""Height and width of the photos for tracing; the graph accepts others."""
_PRIVATE = ("images", "masks", "data", "from")
"""Notes that hold paths of this machine."""


def public_notes(notes: dict[str, Any]) -> dict[str, Any]:
    """The notes without paths of this machine."""
    return {
        name: public_notes(value) if isinstance(value, dict) else value
        for name, value in notes.items()
        if name not in _PRIVATE
    }


def timm_state(backbone: Backbone) -> dict[str, Tensor]:
    """The tensors by the names of the timm model, without its last norm and classifier.

    timm's ResNets have torchvision's names, which a backbone file has too.
    """
    state = plain_state(backbone.encoder)
    if backbone.recipe.name in RESNETS:
        return state
    names = to_timm(state, backbone.recipe.name)
    return {names[name]: tensor for name, tensor in state.items()}


def pack_state(state: Mapping[str, Any], suffix: str) -> bytes:
    """A state dict as torch saves it, or as safetensors."""
    if suffix == ".safetensors":
        return save(dict(state), {"format": "pt"})
    file = io.BytesIO()
    torch.save(dict(state), file)
    return file.getvalue()


def pack_detectron2(backbone: Backbone) -> bytes:
    """detectron2's file of arrays, as its `tools/convert-torchvision-to-d2.py` makes it.

    `matching_heuristics` lets detectron2 match the ends of names, so that one file fills every
    model with such a ResNet in it. Its `__author__` must not be "Caffe2", which would convert BGR.
    Counters of batch norms are left out: detectron2's frozen norms have none.
    """
    arrays = {
        to_detectron2(name): tensor.numpy()
        for name, tensor in plain_state(backbone.encoder).items()
        if not name.endswith("num_batches_tracked")
    }
    return pickle.dumps({"model": arrays, "__author__": "detcon", "matching_heuristics": True})


def pack_onnx(backbone: Backbone) -> bytes:
    """Exports the encoder as ONNX, in evaluation mode, for any batch and photo size.

    The input `photos` [b c y x] must be normalised; the model's metadata has mean and standard
    deviation. The output `features` is [b d h w].

    Raises:
        ExportError: The extra `onnx` isn't installed, or torch can't trace the encoder.
    """
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ExportError(
            f"to=onnx needs {' and '.join(missing)}, not installed here: pip install 'detcon[onnx]'"
        )
    model = _trace(backbone)
    about = {
        "normalisation": backbone.normalisation.model_dump_json(),
        "encoder": backbone.recipe.model_dump_json(),
        "notes": json.dumps(public_notes(backbone.notes)),
    }
    for key, value in about.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = f"detcon.{key}", value
    return model.SerializeToString(deterministic=True)


def _trace(backbone: Backbone) -> Any:
    free = torch.export.Dim.DYNAMIC
    photos = torch.zeros(2, backbone.recipe.in_channels, *SIDES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about its own parts
            program = torch.onnx.export(
                backbone.encoder.eval(),
                (photos,),
                dynamo=True,
                verbose=False,
                input_names=["photos"],
                output_names=["features"],
                dynamic_shapes=({0: free, 2: free, 3: free},),
            )
    except Exception as error:  # torch raises many kinds, some of pages
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise ExportError(
            f"torch can't write '{backbone.recipe.name}' as ONNX for photos of any size: "
            f"{reason.strip()[:160] or type(error).__name__}; to=own writes any network"
        ) from error
    assert program is not None
    model = program.model_proto
    _forget_traces(model.graph)
    return model


def _forget_traces(graph: Any) -> None:
    """Removes source locations from all nodes, as they hold paths of this machine."""
    del graph.metadata_props[:]
    for entries in (graph.node, graph.value_info, graph.input, graph.output, graph.initializer):
        for entry in entries:
            del entry.metadata_props[:]
            if hasattr(entry, "doc_string"):
                entry.ClearField("doc_string")
