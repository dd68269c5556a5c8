"""ONNX: the encoder as a graph that needs no framework."""

import json
import warnings
from importlib.util import find_spec
from typing import Any

import torch

from detcon.exporting.notes import public_notes
from detcon.exporting.recipe import ExportError
from detcon.models.backbone_file import Backbone

SIDES = (96, 128)
"""Height and width of the photos for tracing; the graph accepts others."""


def pack_onnx(backbone: Backbone) -> bytes:
    """Exports the encoder as ONNX, in evaluation mode, for any batch and photo size.

    The input `photos` [b c y x] is normalised already; mean and standard deviation stand in the
    metadata of the model. The output `features` is [b d h w].

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
            f"{reason.strip()[:160] or type(error).__name__}"
        ) from error
    assert program is not None
    model = program.model_proto
    _forget_traces(model.graph)
    return model


def _forget_traces(graph: Any) -> None:
    """Removes source locations from all nodes: they name paths of this machine."""
    del graph.metadata_props[:]
    for entries in (graph.node, graph.value_info, graph.input, graph.output, graph.initializer):
        for entry in entries:
            del entry.metadata_props[:]
            if hasattr(entry, "doc_string"):
                entry.ClearField("doc_string")
